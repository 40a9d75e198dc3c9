// Link types by their registered numbers (https://www.tcpdump.org/linktypes.html), as savefiles store them,
// and the way from each of their headers to the IP header.

import { i32, u16 } from './bytes.ts';
import type { DecodeFault } from './decode.ts';
import type { PacketView } from './view.ts';

export const LINK_NULL = 0;
export const LINK_ETHERNET = 1;
export const LINK_RAW = 101;
export const LINK_LOOP = 108;
export const LINK_LINUX_SLL = 113;
export const LINK_IPV4 = 228;
export const LINK_IPV6 = 229;
export const LINK_LINUX_SLL2 = 276;

const ETHERNET_BYTES = 14;
const ETHERNET_TYPE = 12;
const SLL_BYTES = 16;
const SLL_TYPE = 14;
const SLL2_BYTES = 20;
const SLL2_TYPE = 0;
const FAMILY_BYTES = 4;

const TYPE_IPV4 = 0x0800;
const TYPE_IPV6 = 0x86dd;
const VLAN_BYTES = 4;
/** Deeper stacks than this are nobody's network, but a way to make us loop. */
const MOST_VLAN_TAGS = 4;

/**
 * Steps over the link header that starts at `view.payloadStart`: sets `payloadStart` to the IP header and `family`
 * to what the header announces (0: it does not say, the IP version does).
 */
export function readLink(view: PacketView, bytes: Buffer, end: number, link: number): DecodeFault | null {
  switch (link) {
    case LINK_ETHERNET:
      return readTyped(view, bytes, end, ETHERNET_TYPE, ETHERNET_BYTES);
    case LINK_LINUX_SLL:
      return readTyped(view, bytes, end, SLL_TYPE, SLL_BYTES);
    case LINK_LINUX_SLL2:
      return readTyped(view, bytes, end, SLL2_TYPE, SLL2_BYTES);
    case LINK_NULL:
    case LINK_LOOP:
      return readFamily(view, bytes, end);
    case LINK_RAW:
      view.family = 0;
      return null;
    case LINK_IPV4:
      view.family = 4;
      return null;
    case LINK_IPV6:
      view.family = 6;
      return null;
    default:
      return 'link-type';
  }
}

/** A header with an EtherType; each VLAN tag that follows it is two bytes of tag and the next EtherType. */
function readTyped(
  view: PacketView,
  bytes: Buffer,
  end: number,
  typeOffset: number,
  size: number,
): DecodeFault | null {
  let at = view.payloadStart + size;
  if (at > end) return 'truncated';
  let type = u16(bytes, view.payloadStart + typeOffset);
  for (let tags = 0; isVlan(type); tags += 1) {
    if (tags === MOST_VLAN_TAGS) return 'bad-header';
    if (at + VLAN_BYTES > end) return 'truncated';
    type = u16(bytes, at + 2);
    at += VLAN_BYTES;
  }
  if (type !== TYPE_IPV4 && type !== TYPE_IPV6) return 'not-ip';
  view.family = type === TYPE_IPV4 ? 4 : 6;
  view.payloadStart = at;
  return null;
}

function isVlan(type: number): boolean {
  return type === 0x8100 || type === 0x88a8 || type === 0x9100;
}

/** BSD loopback: an address family in the byte order of the machine that captured it, which may not be ours. */
function readFamily(view: PacketView, bytes: Buffer, end: number): DecodeFault | null {
  const at = view.payloadStart;
  if (at + FAMILY_BYTES > end) return 'truncated';
  const word = i32(bytes, at);
  const family = (word & 0x00ffffff) === 0 ? word >>> 24 : word;
  switch (family) {
    case 2:
      view.family = 4;
      break;
    case 10: // Linux
    case 24: // NetBSD, OpenBSD
    case 28: // FreeBSD
    case 30: // macOS
      view.family = 6;
      break;
    default:
      return 'not-ip';
  }
  view.payloadStart = at + FAMILY_BYTES;
  return null;
}
