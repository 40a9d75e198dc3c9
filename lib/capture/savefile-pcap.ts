// The pcap format (draft-ietf-opsawg-pcap): one file header, then packets. Both byte orders, microseconds and
// nanoseconds, and Kuznetzov's "modified" one, whose packet headers have eight more bytes that nobody needs.

import { MOST_PACKET_BYTES, type Damage, type RecordFormat } from './savefile-format.ts';
import type { PacketSink } from './source.ts';
import { Stamp } from './stamp.ts';

const MICROSECONDS = 0xa1b2c3d4;
const NANOSECONDS = 0xa1b23c4d;
const MODIFIED = 0xa1b2cd34;

const FILE_HEADER_BYTES = 24;
const FILE_MAJOR = 4;
const FILE_LINK = 20;
/** The high bits of the link field tell of a frame check sequence, which the decoder takes for padding. */
const LINK_MASK = 0xffff;

const PACKET_HEADER_BYTES = 16;
const MODIFIED_HEADER_BYTES = 24;
const PACKET_SECONDS = 0;
const PACKET_FRACTION = 4;
const PACKET_CAPTURED = 8;
const PACKET_WIRE = 12;

/** The reader for a file that starts with `magic`; `null` when it is not pcap. */
export function pcapFormat(magic: Buffer, sink: PacketSink, damage: Damage): RecordFormat | null {
  for (const little of [true, false]) {
    const word = little ? magic.readUInt32LE(0) : magic.readUInt32BE(0);
    if (word === MICROSECONDS) return new PcapFormat(sink, damage, little, 1000, PACKET_HEADER_BYTES);
    if (word === NANOSECONDS) return new PcapFormat(sink, damage, little, 1_000_000, PACKET_HEADER_BYTES);
    if (word === MODIFIED) return new PcapFormat(sink, damage, little, 1000, MODIFIED_HEADER_BYTES);
  }
  return null;
}

class PcapFormat implements RecordFormat {
  headBytes = FILE_HEADER_BYTES;
  readonly #sink: PacketSink;
  readonly #damage: Damage;
  readonly #little: boolean;
  readonly #unitsPerMs: number;
  readonly #packetHeader: number;
  readonly #stamp = new Stamp();
  #started = false;
  #link = 0;

  constructor(sink: PacketSink, damage: Damage, little: boolean, unitsPerMs: number, packetHeader: number) {
    this.#sink = sink;
    this.#damage = damage;
    this.#little = little;
    this.#unitsPerMs = unitsPerMs;
    this.#packetHeader = packetHeader;
  }

  sizeOf(bytes: Buffer, at: number): number {
    if (!this.#started) return FILE_HEADER_BYTES;
    const captured = this.#u32(bytes, at + PACKET_CAPTURED);
    if (captured > MOST_PACKET_BYTES) throw this.#damage(`packet of ${String(captured)} bytes`);
    return this.#packetHeader + captured;
  }

  skips(): boolean {
    return false;
  }

  take(bytes: Buffer, at: number, size: number): void {
    if (!this.#started) {
      this.#start(bytes, at);
      return;
    }
    const seconds = this.#u32(bytes, at + PACKET_SECONDS);
    const fraction = this.#u32(bytes, at + PACKET_FRACTION);
    const timeMs = this.#stamp.at(seconds, Math.floor(fraction / this.#unitsPerMs));
    const captured = size - this.#packetHeader;
    const wire = this.#u32(bytes, at + PACKET_WIRE);
    this.#sink.frame(bytes, at + this.#packetHeader, captured, wire, this.#link, timeMs);
  }

  #start(bytes: Buffer, at: number): void {
    const major = this.#little ? bytes.readUInt16LE(at + FILE_MAJOR) : bytes.readUInt16BE(at + FILE_MAJOR);
    if (major !== 2) throw this.#damage(`pcap version ${String(major)} (only version 2 is known)`);
    this.#link = this.#u32(bytes, at + FILE_LINK) & LINK_MASK;
    this.#started = true;
    this.headBytes = this.#packetHeader;
  }

  #u32(bytes: Buffer, at: number): number {
    return this.#little ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
  }
}
