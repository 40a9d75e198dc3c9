// Writes savefiles for tests and benchmarks: pcap whole or packet by packet, and pcapng block by block.

import { LINK_ETHERNET } from '../../lib/packet/link.ts';

export interface PcapOptions {
  readonly link?: number;
  /** Little-endian unless true. */
  readonly big?: boolean;
  /** 'usec' unless given; 'modified' has longer packet headers. */
  readonly format?: 'usec' | 'nsec' | 'modified';
}

export interface SavedPacket {
  readonly bytes: Uint8Array;
  /** Unix milliseconds; may have a fraction. */
  readonly timeMs?: number;
  /** The length on the wire, when the capture cut it short. */
  readonly wire?: number;
}

const MAGIC = { usec: 0xa1b2c3d4, nsec: 0xa1b23c4d, modified: 0xa1b2cd34 };
export const SAVED_AT_MS = 1_700_000_000_000;

/** A whole pcap file. */
export function pcap(packets: readonly (SavedPacket | Uint8Array)[], options: PcapOptions = {}): Buffer {
  return Buffer.concat([pcapHeader(options), ...packets.map((packet) => pcapPacket(packet, options))]);
}

export function pcapHeader({ link = LINK_ETHERNET, big = false, format = 'usec' }: PcapOptions = {}): Buffer {
  return Buffer.concat([
    u32(MAGIC[format], big),
    u16(2, big),
    u16(4, big),
    Buffer.alloc(8),
    u32(262_144, big),
    u32(link, big),
  ]);
}

export function pcapPacket(packet: SavedPacket | Uint8Array, options: PcapOptions = {}): Buffer {
  const { big = false, format = 'usec' } = options;
  const {
    bytes,
    timeMs = SAVED_AT_MS,
    wire,
  } = packet instanceof Uint8Array ? { bytes: packet, wire: undefined } : packet;
  const fraction = Math.round((timeMs % 1000) * (format === 'nsec' ? 1e6 : 1e3));
  const head = [Math.floor(timeMs / 1000), fraction, bytes.length, wire ?? bytes.length].map((n) =>
    u32(n, big),
  );
  return Buffer.concat([...head, Buffer.alloc(format === 'modified' ? 8 : 0), bytes]);
}

/** Blocks of one pcapng section in one byte order. */
export function pcapng(big = false): PcapngBlocks {
  const block = (type: number, ...parts: readonly Uint8Array[]): Buffer => {
    const body = padded(Buffer.concat(parts));
    const length = u32(body.length + 12, big);
    return Buffer.concat([u32(type, big), length, body, length]);
  };
  const option = (code: number, value: Uint8Array): Buffer =>
    Buffer.concat([u16(code, big), u16(value.length, big), padded(value)]);
  return {
    block,
    option,
    section: () => block(0x0a0d0d0a, u32(0x1a2b3c4d, big), u16(1, big), u16(0, big), Buffer.alloc(8, 0xff)),
    interface: (link = LINK_ETHERNET, { snaplen = 0, options = [] } = {}) =>
      block(1, u16(link, big), u16(0, big), u32(snaplen, big), ...options),
    packet: (bytes, { id = 0, stamp = BigInt(SAVED_AT_MS) * 1000n, wire = bytes.length } = {}) =>
      block(6, u32(id, big), ...stampOf(stamp, big), u32(bytes.length, big), u32(wire, big), padded(bytes)),
    obsoletePacket: (bytes, { id = 0, stamp = BigInt(SAVED_AT_MS) * 1000n, wire = bytes.length } = {}) =>
      block(
        2,
        u16(id, big),
        u16(3, big),
        ...stampOf(stamp, big),
        u32(bytes.length, big),
        u32(wire, big),
        padded(bytes),
      ),
    simplePacket: (bytes, wire = bytes.length) => block(3, u32(wire, big), bytes),
  };
}

export interface PcapngBlocks {
  block(type: number, ...parts: readonly Uint8Array[]): Buffer;
  option(code: number, value: Uint8Array): Buffer;
  section(): Buffer;
  interface(link?: number, more?: { snaplen?: number; options?: readonly Uint8Array[] }): Buffer;
  packet(bytes: Uint8Array, more?: PcapngStamp): Buffer;
  obsoletePacket(bytes: Uint8Array, more?: PcapngStamp): Buffer;
  simplePacket(bytes: Uint8Array, wire?: number): Buffer;
}

/** `stamp` is in the interface's units, microseconds unless it says otherwise. */
export interface PcapngStamp {
  readonly id?: number;
  readonly stamp?: bigint;
  readonly wire?: number;
}

function stampOf(stamp: bigint, big: boolean): [Buffer, Buffer] {
  return [u32(Number(stamp >> 32n), big), u32(Number(stamp & 0xffffffffn), big)];
}

function padded(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}

function u16(value: number, big: boolean): Buffer {
  const bytes = Buffer.alloc(2);
  if (big) bytes.writeUInt16BE(value);
  else bytes.writeUInt16LE(value);
  return bytes;
}

function u32(value: number, big: boolean): Buffer {
  const bytes = Buffer.alloc(4);
  if (big) bytes.writeUInt32BE(value);
  else bytes.writeUInt32LE(value);
  return bytes;
}
