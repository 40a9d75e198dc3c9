// Decoded packets for the schemes' tests, without frames: whole port sweeps run through a scheme in no time.

import { parseAddress } from '../../lib/address.ts';
import { PacketView, SYN, TCP, UDP } from '../../lib/packet/view.ts';

export interface PacketOptions {
  /** Where from; an IPv6 address makes an IPv6 packet. */
  readonly src?: string;
  readonly port: number;
  readonly srcPort?: number;
  /** Unix milliseconds. */
  readonly at?: number;
  readonly seq?: number;
  readonly flags?: number;
  readonly payload?: Uint8Array;
}

export const NOW = 1_767_225_600_000;
const SOURCE = '192.0.2.7';

let lastSeq = 0;

/** A connection attempt; each has a sequence number of its own unless it is given. */
export function syn(options: PacketOptions): PacketView {
  lastSeq = (lastSeq + 0x01010101) | 0;
  return packet(TCP, { flags: SYN, seq: lastSeq, ...options });
}

/** A datagram. */
export function datagram(options: PacketOptions): PacketView {
  return packet(UDP, { flags: 0, seq: 0, ...options });
}

/** The same packet at another time. */
export function later(view: PacketView, at: number): PacketView {
  return Object.assign(new PacketView(), view, { timeMs: at });
}

function packet(protocol: number, options: PacketOptions): PacketView {
  const { src = SOURCE, port, srcPort = 40_000, at = NOW, seq = 0, flags = 0, payload } = options;
  const view = new PacketView();
  setSource(view, src);
  view.protocol = protocol;
  view.srcPort = srcPort;
  view.dstPort = port;
  view.seq = seq;
  view.flags = flags;
  view.timeMs = at;
  // Surrounded by junk, as in a captured frame.
  const margin = Buffer.alloc(8, 0x5a);
  view.bytes = Buffer.concat([margin, payload ?? Buffer.alloc(0), margin]);
  view.payloadStart = margin.length;
  view.payloadLength = payload?.length ?? 0;
  return view;
}

export function setSource(view: PacketView, text: string): void {
  const address = parseAddress(text);
  if (address === null) throw new TypeError(`not an address: ${text}`);
  view.family = address.family;
  [view.src0, view.src1, view.src2, view.src3] = address.words;
}

/** Every port once, in an order of `random` (Fisher and Yates), or ascending. */
export function allPorts(random?: (below: number) => number): number[] {
  const ports = Array.from({ length: 65_535 }, (_, i) => i + 1);
  if (random === undefined) return ports;
  for (let i = ports.length - 1; i > 0; i -= 1) {
    const j = random(i + 1);
    [ports[i], ports[j]] = [ports[j] ?? 0, ports[i] ?? 0];
  }
  return ports;
}

/** Every order of `values`. */
export function permutations<T>(values: readonly T[]): T[][] {
  if (values.length <= 1) return [[...values]];
  return values.flatMap((value, i) =>
    permutations(values.filter((_, j) => j !== i)).map((rest) => [value, ...rest]),
  );
}
