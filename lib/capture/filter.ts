// The libpcap filter for what the schemes want to see (hints: protocols/spa.md). It only has to let through every
// packet that they may match; the decoder and the schemes look again. Fragments stay out: the decoder refuses them all.
//
// `udp[]` and `tcp[]` mean IPv4 to libpcap, and `ip6[]` counts from the IPv6 header: ports of a packet without
// extension headers stand at ip6[40:2] and ip6[42:2]. Where there are extension headers the whole packet passes.

import type { CaptureNeed } from '../scheme/scheme.ts';

/** Ports with one protocol, one range of payload lengths and one set of hints; ranges in order, apart from each other. */
interface Group {
  readonly protocol: CaptureNeed['protocol'];
  readonly lengths: Range | null;
  /** In order, each once; `null`: no need of a hint. */
  readonly hints: readonly number[] | null;
  readonly ranges: readonly Range[];
}

type Range = readonly [low: number, high: number];

/** A UDP header as one of the two families addresses it. */
interface UdpFields {
  readonly length: string;
  readonly word0: string;
  readonly word1: string;
}

const NOTHING = 'less 1';
const UDP_HEADER_BYTES = 8;
const HINT_BYTES = 8;
const MOST_PAYLOAD = 65_535 - UDP_HEADER_BYTES;
const V4: UdpFields = { length: 'udp[4:2]', word0: 'udp[8:4]', word1: 'udp[12:4]' };
const V6: UdpFields = { length: 'ip6[44:2]', word0: 'ip6[48:4]', word1: 'ip6[52:4]' };
/** Hop-by-hop, routing and destination options: what the decoder steps over. */
const EXTENSIONS = '(ip6[6] = 0 or ip6[6] = 43 or ip6[6] = 60)';

/**
 * The filter text for `needs` and packets around `timeMs` (Unix milliseconds); the same needs in any order give the
 * same text, and with time it changes only when the hints do.
 *
 * No `inbound`: libpcap evaluates the filter itself for packets that were in its ring when the filter was set, and
 * there that word drops them all, so the first knock after a start was lost. No `vlan`: the kernel takes the (outer)
 * tag off before it filters.
 *
 * @example
 * captureFilter([{ protocol: 'udp', ports: [20000, 20099], payloadLength: 32 }], Date.now());
 */
export function captureFilter(needs: readonly CaptureNeed[], timeMs: number): string {
  const groups = groupsOf(needs, timeMs);
  return groups.length === 0 ? NOTHING : forIp(groups);
}

function forIp(groups: readonly Group[]): string {
  const v4 = `ip and ip[6:2] & 0x3fff = 0 and ${anyOf(groups.map(v4Test))}`;
  const v6 = `ip6 and ${anyOf([...groups.map(v6Test), EXTENSIONS])}`;
  return `(${v4}) or (${v6})`;
}

function v4Test(group: Group): string {
  const name = group.protocol === 'udp' ? 'udp' : 'tcp';
  const ports = anyOf(group.ranges.map((range) => `${name} dst ${portText(range)}`));
  if (group.protocol === 'tcp-syn') return `(${ports} and ${synTest('tcp[13]')})`;
  return allOf([ports, ...udpTests(group, V4)]);
}

function v6Test(group: Group): string {
  const ports = anyOf(group.ranges.map((range) => between('ip6[42:2]', range)));
  if (group.protocol === 'tcp-syn') return `(ip6[6] = 6 and ${ports} and ${synTest('ip6[53]')})`;
  return allOf(['ip6[6] = 17', ports, ...udpTests(group, V6)]);
}

/** The length stands before the hint: reading beyond a packet's end would end the whole filter. */
function udpTests({ lengths, hints }: Group, fields: UdpFields): string[] {
  const tests: string[] = [];
  if (lengths !== null) {
    tests.push(between(fields.length, [UDP_HEADER_BYTES + lengths[0], UDP_HEADER_BYTES + lengths[1]]));
  }
  if (hints !== null) {
    tests.push(anyOf(hints.map((hint) => `(${fields.word0} ^ ${fields.word1}) = ${hexadecimal(hint)}`)));
  }
  return tests;
}

function portText([low, high]: Range): string {
  return low === high ? `port ${String(low)}` : `portrange ${String(low)}-${String(high)}`;
}

function between(field: string, [low, high]: Range): string {
  if (low === high) return `${field} = ${String(low)}`;
  return `(${field} >= ${String(low)} and ${field} <= ${String(high)})`;
}

function hexadecimal(word: number): string {
  return `0x${(word >>> 0).toString(16).padStart(8, '0')}`;
}

/** SYN set; ACK, RST and FIN clear. */
function synTest(flags: string): string {
  return `${flags} & 0x17 = 0x02`;
}

function anyOf(tests: readonly string[]): string {
  return tests.length === 1 ? tests.join('') : `(${tests.join(' or ')})`;
}

function allOf(tests: readonly string[]): string {
  return tests.length === 1 ? tests.join('') : `(${tests.join(' and ')})`;
}

/** One group per protocol, payload lengths and hints, in a fixed order; none for needs that no packet can meet. */
function groupsOf(needs: readonly CaptureNeed[], timeMs: number): Group[] {
  const groups = new Map<string, Group & { ranges: Range[] }>();
  for (const need of needs) {
    const group = groupOf(need, timeMs);
    if (group === null) continue;
    const lengths = group.lengths?.map((length) => String(length).padStart(5)) ?? [];
    const key = [group.protocol, ...lengths, ...(group.hints ?? []).map(hexadecimal)].join(' ');
    const same = groups.get(key);
    if (same === undefined) groups.set(key, group);
    else same.ranges.push(need.ports);
  }
  return [...groups.entries()]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([, group]) => ({ ...group, ranges: merged(group.ranges) }));
}

function groupOf(need: CaptureNeed, timeMs: number): (Group & { ranges: Range[] }) | null {
  const { protocol, ports, payloadLength } = need;
  if (protocol === 'tcp-syn') return { protocol, lengths: null, hints: null, ranges: [ports] };
  const lengths =
    typeof payloadLength === 'number' ? ([payloadLength, payloadLength] as const) : payloadLength;
  if (need.hints === undefined) return { protocol, lengths: lengths ?? null, hints: null, ranges: [ports] };
  const hints = [...new Set(need.hints(timeMs).map((hint) => hint | 0))].sort((one, other) => one - other);
  const [least, most] = lengths ?? [0, MOST_PAYLOAD];
  if (hints.length === 0 || most < HINT_BYTES) return null;
  return { protocol, lengths: [Math.max(least, HINT_BYTES), most], hints, ranges: [ports] };
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
