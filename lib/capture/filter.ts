// The libpcap filter for what the schemes want to see. It only has to let through every packet that they may match;
// the decoder and the schemes look again. Fragments stay out, since the decoder refuses them all.
//
// `udp[]` and `tcp[]` mean IPv4 to libpcap, and `ip6[]` counts from the IPv6 header: ports of a packet without
// extension headers stand at ip6[40:2] and ip6[42:2]. Where there are extension headers the whole packet passes.

import type { CaptureNeed } from '../scheme/scheme.ts';

/** Ports with one protocol and payload length; ranges in order, apart from each other. */
interface Group {
  readonly protocol: CaptureNeed['protocol'];
  readonly payloadLength: number | null;
  readonly ranges: readonly Range[];
}

type Range = readonly [low: number, high: number];

const NOTHING = 'less 1';
const UDP_HEADER_BYTES = 8;
/** Hop-by-hop, routing and destination options: what the decoder steps over. */
const EXTENSIONS = '(ip6[6] = 0 or ip6[6] = 43 or ip6[6] = 60)';

/**
 * The filter text for `needs`; the same needs in any order give the same text.
 *
 * No `inbound`: libpcap evaluates the filter itself for packets that were in its ring when the filter was set, and
 * there that word drops them all, so the first knock after a start was lost. No `vlan`: the kernel takes the (outer)
 * tag off before it filters.
 *
 * @example
 * captureFilter([{ protocol: 'udp', ports: [20000, 20099], payloadLength: 32 }]);
 */
export function captureFilter(needs: readonly CaptureNeed[]): string {
  return needs.length === 0 ? NOTHING : forIp(groupsOf(needs));
}

function forIp(groups: readonly Group[]): string {
  const v4 = `ip and ip[6:2] & 0x3fff = 0 and ${anyOf(groups.map(v4Test))}`;
  const v6 = `ip6 and ${anyOf([...groups.map(v6Test), EXTENSIONS])}`;
  return `(${v4}) or (${v6})`;
}

function v4Test({ protocol, payloadLength, ranges }: Group): string {
  const name = protocol === 'udp' ? 'udp' : 'tcp';
  const ports = anyOf(ranges.map((range) => `${name} dst ${portText(range)}`));
  if (protocol === 'tcp-syn') return `(${ports} and ${synTest('tcp[13]')})`;
  return payloadLength === null
    ? ports
    : `(${ports} and udp[4:2] = ${String(UDP_HEADER_BYTES + payloadLength)})`;
}

function v6Test({ protocol, payloadLength, ranges }: Group): string {
  const ports = anyOf(ranges.map(([low, high]) => between('ip6[42:2]', low, high)));
  if (protocol === 'tcp-syn') return `(ip6[6] = 6 and ${ports} and ${synTest('ip6[53]')})`;
  const length = payloadLength === null ? '' : ` and ip6[44:2] = ${String(UDP_HEADER_BYTES + payloadLength)}`;
  return `(ip6[6] = 17 and ${ports}${length})`;
}

function portText([low, high]: Range): string {
  return low === high ? `port ${String(low)}` : `portrange ${String(low)}-${String(high)}`;
}

function between(field: string, low: number, high: number): string {
  if (low === high) return `${field} = ${String(low)}`;
  return `(${field} >= ${String(low)} and ${field} <= ${String(high)})`;
}

/** SYN set; ACK, RST and FIN clear. */
function synTest(flags: string): string {
  return `${flags} & 0x17 = 0x02`;
}

function anyOf(tests: readonly string[]): string {
  return tests.length === 1 ? tests.join('') : `(${tests.join(' or ')})`;
}

/** One group per protocol and payload length, in a fixed order. */
function groupsOf(needs: readonly CaptureNeed[]): Group[] {
  const groups = new Map<string, { need: CaptureNeed; ranges: Range[] }>();
  for (const need of needs) {
    const key = `${need.protocol} ${String(need.payloadLength ?? -1).padStart(5)}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { need, ranges: [need.ports] });
    else group.ranges.push(need.ports);
  }
  return [...groups.entries()]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([, { need, ranges }]) => ({
      protocol: need.protocol,
      payloadLength: need.payloadLength ?? null,
      ranges: merged(ranges),
    }));
}

function merged(ranges: readonly Range[]): Range[] {
  const result: [number, number][] = [];
  for (const [low, high] of [...ranges].sort((one, other) => one[0] - other[0])) {
    const last = result.at(-1);
    if (last !== undefined && low <= last[1] + 1) last[1] = Math.max(last[1], high);
    else result.push([low, high]);
  }
  return result;
}
