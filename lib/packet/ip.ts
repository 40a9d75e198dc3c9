// IPv4 (RFC 791) and IPv6 (RFC 8200) headers, extension headers included. Refused: every fragment, every length that
// lies, and headers that a host would not take for itself (a source route with hops left, hop-by-hop out of place).

import { i32, u16, u8 } from './bytes.ts';
import type { DecodeFault } from './decode.ts';
import type { PacketView } from './view.ts';

const V4_BYTES = 20;
const V4_TOTAL = 2;
const V4_FRAGMENT = 6;
const V4_PROTOCOL = 9;
const V4_SOURCE = 12;
const V4_DESTINATION = 16;
/** More-fragments and the offset; don't-fragment and the reserved bit are left out. */
const V4_FRAGMENT_MASK = 0x3fff;
const MAPPED = 0xffff;

const V6_BYTES = 40;
const V6_LENGTH = 4;
const V6_NEXT = 6;
const V6_SOURCE = 8;
const V6_DESTINATION = 24;

const HOP_BY_HOP = 0;
const ROUTING = 43;
const FRAGMENT = 44;
const DESTINATION_OPTIONS = 60;
const SEGMENTS_LEFT = 3;
const EXTENSION_UNIT = 8;
const MOST_EXTENSIONS = 8;

/**
 * Reads the IP header at `view.payloadStart` (captured up to `end`, on the wire up to `wireEnd`): sets the addresses,
 * `family` and `protocol`, and `payloadStart` and `payloadLength` to what the IP packet carries.
 */
export function readIp(view: PacketView, bytes: Buffer, end: number, wireEnd: number): DecodeFault | null {
  const at = view.payloadStart;
  if (at >= end) return 'truncated';
  const version = u8(bytes, at) >> 4;
  if (view.family === 0) {
    if (version !== 4 && version !== 6) return 'not-ip';
    view.family = version;
  }
  if (version !== view.family) return 'bad-header';
  return version === 4 ? readV4(view, bytes, end, wireEnd) : readV6(view, bytes, end, wireEnd);
}

function readV4(view: PacketView, bytes: Buffer, end: number, wireEnd: number): DecodeFault | null {
  const at = view.payloadStart;
  if (at + V4_BYTES > end) return 'truncated';
  const header = (u8(bytes, at) & 15) << 2;
  if (header < V4_BYTES) return 'bad-header';
  const total = u16(bytes, at + V4_TOTAL);
  if (total < header || at + total > wireEnd) return 'bad-length';
  if (at + header > end) return 'truncated';
  if ((u16(bytes, at + V4_FRAGMENT) & V4_FRAGMENT_MASK) !== 0) return 'fragment';
  view.src0 = view.src1 = view.dst0 = view.dst1 = 0;
  view.src2 = view.dst2 = MAPPED;
  view.src3 = i32(bytes, at + V4_SOURCE);
  view.dst3 = i32(bytes, at + V4_DESTINATION);
  view.protocol = u8(bytes, at + V4_PROTOCOL);
  view.payloadStart = at + header;
  view.payloadLength = total - header;
  return null;
}

function readV6(view: PacketView, bytes: Buffer, end: number, wireEnd: number): DecodeFault | null {
  const at = view.payloadStart;
  if (at + V6_BYTES > end) return 'truncated';
  const length = u16(bytes, at + V6_LENGTH);
  // 0 announces a jumbogram, which no knock is, or nothing at all.
  if (length === 0 || at + V6_BYTES + length > wireEnd) return 'bad-length';
  view.src0 = i32(bytes, at + V6_SOURCE);
  view.src1 = i32(bytes, at + V6_SOURCE + 4);
  view.src2 = i32(bytes, at + V6_SOURCE + 8);
  view.src3 = i32(bytes, at + V6_SOURCE + 12);
  view.dst0 = i32(bytes, at + V6_DESTINATION);
  view.dst1 = i32(bytes, at + V6_DESTINATION + 4);
  view.dst2 = i32(bytes, at + V6_DESTINATION + 8);
  view.dst3 = i32(bytes, at + V6_DESTINATION + 12);
  view.protocol = u8(bytes, at + V6_NEXT);
  view.payloadStart = at + V6_BYTES;
  view.payloadLength = length;
  return readExtensions(view, bytes, end);
}

/** Steps over extension headers. AH and ESP are not among them: without a key for them a host drops such packets. */
function readExtensions(view: PacketView, bytes: Buffer, end: number): DecodeFault | null {
  for (let count = 0; ; count += 1) {
    const kind = view.protocol;
    if (kind === FRAGMENT) return 'fragment';
    if (kind !== HOP_BY_HOP && kind !== ROUTING && kind !== DESTINATION_OPTIONS) return null;
    if (count === MOST_EXTENSIONS || (kind === HOP_BY_HOP && count > 0)) return 'extension-header';
    const at = view.payloadStart;
    if (view.payloadLength < EXTENSION_UNIT) return 'bad-length';
    if (at + EXTENSION_UNIT > end) return 'truncated';
    const size = (u8(bytes, at + 1) + 1) * EXTENSION_UNIT;
    if (size > view.payloadLength) return 'bad-length';
    if (at + size > end) return 'truncated';
    if (kind === ROUTING && u8(bytes, at + SEGMENTS_LEFT) !== 0) return 'extension-header';
    view.protocol = u8(bytes, at);
    view.payloadStart = at + size;
    view.payloadLength -= size;
  }
}
