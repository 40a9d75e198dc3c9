// Writes savefiles of any length for the pipeline's benchmark: ordinary traffic, junk that the filter lets through,
// and valid knocks. Frames are made once and stamped over and over, or writing would take longer than reading.

import { closeSync, openSync, writeSync } from 'node:fs';
import { knockKeysOf, type Knock } from './traffic-knocks.ts';
import { frame } from '../test/support/frames.ts';
import { pcapHeader, pcapPacket } from '../test/support/savefile.ts';
import { noise, noiseBytes, round } from './packets.ts';

export { CLIENTS } from './traffic-knocks.ts';

export type Traffic = 'other' | 'aimed' | 'mixed';

const START_S = 1_700_000_000;
const STEP_S = 10;
/** 20,000 packets a second of capture time, so that a million of them pass through five steps of ten seconds. */
const PACKETS_PER_STEP = 200_000;
const TAG = 16;
const CHUNK = 4 * 1024 * 1024;

/** Writes `count` packets to `path`; returns how many whole knocks are among them. */
export function writeTraffic(path: string, traffic: Traffic, count: number): number {
  const file = openSync(path, 'w');
  const chunk = Buffer.allocUnsafe(CHUNK);
  const next = noise();
  const other = otherTraffic(next);
  const aimed = aimedTraffic(next);
  let knocks = 0;
  let queue: Knock[] = [];
  let used = pcapHeader().copy(chunk);
  for (let i = 0; i < count; i += 1) {
    const step = Math.floor(i / PACKETS_PER_STEP);
    if (traffic === 'mixed' && i % PACKETS_PER_STEP === 0) {
      queue = knockKeysOf(START_S / STEP_S + step);
      knocks += queue.filter(({ last }) => last).length;
    }
    const knock = i % 100 === 0 ? queue.shift() : undefined;
    const pool = traffic === 'other' || (traffic === 'mixed' && next(2) === 0) ? other : aimed;
    const packet = knock?.packet ?? pool[next(pool.length)] ?? Buffer.alloc(0);
    if (used + packet.length > CHUNK) {
      writeSync(file, chunk, 0, used);
      used = 0;
    }
    packet.copy(chunk, used);
    stamp(chunk, used, i);
    used += packet.length;
    // Fresh noise at the end of the frame, which is where a tag or a segment's data is.
    if (knock === undefined)
      for (let at = 1; at <= TAG; at += 4) chunk.writeUInt32LE(next(2 ** 31), used - at - 3);
  }
  writeSync(file, chunk, 0, used);
  closeSync(file);
  return knocks;
}

function stamp(chunk: Buffer, at: number, index: number): void {
  const micros = index * ((STEP_S * 1_000_000) / PACKETS_PER_STEP);
  chunk.writeUInt32LE(START_S + Math.floor(micros / 1_000_000), at);
  chunk.writeUInt32LE(micros % 1_000_000, at + 4);
}

/** What passes any host: segments of connections, answers of name servers, both families, ARP. */
function otherTraffic(next: (below: number) => number): readonly Buffer[] {
  return round((i) => {
    const src =
      i % 4 === 0 ? `2001:db8::${(1 + next(9999)).toString(16)}` : `198.18.${next(256)}.${next(256)}`;
    const ports = { srcPort: 1024 + next(60_000), dstPort: 443 };
    if (i % 16 === 0)
      return pcapPacket(Buffer.concat([Buffer.alloc(12), Buffer.from([8, 6]), Buffer.alloc(46)]));
    if (i % 5 === 0) return pcapPacket(frame({ src, srcPort: 53, payload: Buffer.alloc(40 + next(60)) }));
    const payload = Buffer.alloc(16 + next(32));
    return pcapPacket(frame({ src, ...ports, protocol: 'tcp', flags: 0x18, seq: next(2 ** 31), payload }));
  });
}

/** What the filter lets through: datagrams of a tag's length and SYNs, on ports of the range. */
function aimedTraffic(next: (below: number) => number): readonly Buffer[] {
  return round((i) => {
    const src =
      i % 4 === 0 ? `2001:db8::${(1 + next(9999)).toString(16)}` : `198.18.${next(256)}.${next(256)}`;
    const ports = { srcPort: 1024 + next(60_000), dstPort: 20_000 + next(32_768) };
    if (i % 2 === 0) return pcapPacket(frame({ src, ...ports, payload: noiseBytes(next, TAG) }));
    // Options, so that the noise does not fall on the header.
    return pcapPacket(
      frame({ src, ...ports, protocol: 'tcp', seq: next(2 ** 31), tcpOptions: Buffer.alloc(20, 1) }),
    );
  });
}
