// Junk for the parts b, d and f: frames from ever other sources, aimed at one daemon's filter or at nobody, written as
// a savefile or as native/flood.c wants them. Only the sources, the ports and the noise differ from frame to frame.

import { randomFillSync } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import { frame } from '../../test/support/frames.ts';
import { pcapHeader } from '../../test/support/savefile.ts';
import { KNOCK_PORT, sourceOf, type Subject } from './rig.ts';

/** What a piece of junk looks like, and so who has to look at it. */
export type Junk =
  /** Datagrams to a port that nobody asked for, as QUIC has. */
  | { readonly kind: 'unrelated' }
  /** Noise of an SPA knock's length, to the port of our SPA knocks and fwknop's; with a hint: one that is right. */
  | { readonly kind: 'spa'; readonly hint?: number }
  /** The same in base64, which fwknopd looks at longer. */
  | { readonly kind: 'text' }
  /** Noise of a one-time tag's length, to ports of its range. */
  | { readonly kind: 'one-time' }
  /** SYNs to the first port of a plain sequence. */
  | { readonly kind: 'syn'; readonly port: number };

export interface JunkFile {
  readonly path: string;
  readonly junk: Junk;
  readonly count: number;
  /** `flood` for native/flood.c, `pcap` for whoever reads savefiles. */
  readonly format: 'flood' | 'pcap';
  /** Of how many sources; as many as there are packets unless said. */
  readonly sources?: number;
  /** Unix seconds of the first packet of a savefile. */
  readonly startSeconds?: number;
}

const ETHERNET = 14;
const IPV4 = 20;
const UDP_HEADER = 8;
const PAYLOAD = ETHERNET + IPV4 + UDP_HEADER;
const SPA_BYTES = 210;
const OTHER_PORT = 443;
/** The range of one-time knocks unless a client says otherwise. */
const TAG_PORTS = { first: 20_000, count: 32_768 };
const TAG_BYTES = 16;
/** 10.128.0.0/9: eight million addresses, none of them the rig's. */
const FIRST_SOURCE = 0x0a80_0000;
const CHUNK = 4 * 1024 * 1024;
const PER_SECOND = 20_000;
const BASE64 = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/', 'latin1');

/** Writes the file; returns the bytes of one frame, which all have the same length. */
export function writeJunk({ path, junk, count, format, ...more }: JunkFile): number {
  const { sources = count, startSeconds = 0 } = more;
  const template = templateOf(junk);
  const head = format === 'pcap' ? 16 : 2;
  const file = openSync(path, 'w');
  const chunk = randomFillSync(Buffer.allocUnsafe(CHUNK));
  let used = format === 'pcap' ? pcapHeader().copy(chunk) : 0;
  for (let i = 0; i < count; i += 1) {
    if (used + head + template.length > CHUNK) {
      writeSync(file, chunk, 0, used);
      randomFillSync(chunk);
      used = 0;
    }
    if (format === 'flood') chunk.writeUInt16LE(template.length, used);
    else stamp(chunk, used, { index: i, startSeconds, length: template.length });
    template.copy(chunk, used + head, 0, junk.kind === 'syn' ? template.length : PAYLOAD);
    vary(chunk.subarray(used + head, used + head + template.length), junk, i % sources);
    used += head + template.length;
  }
  writeSync(file, chunk, 0, used);
  closeSync(file);
  return template.length;
}

/** The hint of a true knock, which whoever sees one can read. */
export async function hintIn(subject: Subject): Promise<number> {
  const [knock] = await subject.knock({ source: sourceOf(0), scheme: 'spa suite 1' });
  if (knock?.protocol !== 'udp') throw new Error('a knock of SPA is a datagram');
  const bytes = Buffer.from(knock.payload);
  return bytes.readInt32BE(0) ^ bytes.readInt32BE(4);
}

/** What is to be said about it on the page. */
export function nameOf(junk: Junk): string {
  switch (junk.kind) {
    case 'unrelated':
      return 'unrelated traffic';
    case 'spa':
      return junk.hint === undefined ? 'SPA junk' : 'SPA junk with a sniffed hint';
    case 'text':
      return 'SPA junk in base64';
    case 'one-time':
      return 'one-time junk';
    case 'syn':
      return 'SYNs to the first port';
  }
}

function templateOf(junk: Junk): Buffer {
  const to = { src: '10.128.0.0', dst: '10.77.0.1', srcPort: 40_000 };
  switch (junk.kind) {
    case 'unrelated':
      return withoutChecksum(frame({ ...to, dstPort: OTHER_PORT, payload: Buffer.alloc(SPA_BYTES) }));
    case 'spa':
    case 'text':
      return withoutChecksum(frame({ ...to, dstPort: KNOCK_PORT, payload: Buffer.alloc(SPA_BYTES) }));
    case 'one-time':
      return withoutChecksum(frame({ ...to, dstPort: TAG_PORTS.first, payload: Buffer.alloc(TAG_BYTES) }));
    case 'syn':
      return frame({ ...to, dstPort: junk.port, protocol: 'tcp' });
  }
}

/** UDP over IPv4 may go without one, so that the noise need not be summed. */
function withoutChecksum(bytes: Buffer): Buffer {
  bytes.writeUInt16BE(0, ETHERNET + IPV4 + 6);
  return bytes;
}

/** The noise is there already. Of SYNs only source and port differ: who captures does not check TCP's sum. */
function vary(bytes: Buffer, junk: Junk, source: number): void {
  const ip = bytes.subarray(ETHERNET, ETHERNET + IPV4);
  ip.writeUInt32BE(FIRST_SOURCE + source, 12);
  ip.writeUInt16BE(0, 10);
  ip.writeUInt16BE(checksum(ip), 10);
  bytes.writeUInt16BE(1024 + ((source * 7919) % 60_000), ETHERNET + IPV4);
  if (junk.kind === 'spa' && junk.hint !== undefined) {
    bytes.writeInt32BE(bytes.readInt32BE(PAYLOAD) ^ junk.hint, PAYLOAD + 4);
  } else if (junk.kind === 'text') {
    for (let at = PAYLOAD; at < bytes.length; at += 1) bytes[at] = BASE64[(bytes[at] ?? 0) & 63] ?? 0;
  } else if (junk.kind === 'one-time') {
    bytes.writeUInt16BE(
      TAG_PORTS.first + (bytes.readUInt16BE(PAYLOAD) % TAG_PORTS.count),
      ETHERNET + IPV4 + 2,
    );
  }
}

function checksum(header: Buffer): number {
  let sum = 0;
  for (let at = 0; at < header.length; at += 2) sum += header.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function stamp(
  chunk: Buffer,
  at: number,
  { index, startSeconds, length }: { index: number; startSeconds: number; length: number },
): void {
  chunk.writeUInt32LE(startSeconds + Math.floor(index / PER_SECOND), at);
  chunk.writeUInt32LE((index % PER_SECOND) * (1_000_000 / PER_SECOND), at + 4);
  chunk.writeUInt32LE(length, at + 8);
  chunk.writeUInt32LE(length, at + 12);
}
