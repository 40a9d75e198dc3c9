// The pcapng format (draft-ietf-opsawg-pcapng): sections, each with its own byte order and list of interfaces.
// Read are section headers, interface descriptions and the three packet blocks; every other block is passed over.

import { MOST_PACKET_BYTES, type Damage, type RecordFormat } from './savefile-format.ts';
import type { PacketSink } from './source.ts';
import { Stamp } from './stamp.ts';

const SECTION = 0x0a0d0d0a;
const INTERFACE = 1;
const OBSOLETE_PACKET = 2;
const SIMPLE_PACKET = 3;
const ENHANCED_PACKET = 6;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;

const BLOCK_HEAD_BYTES = 12;
const BLOCK_LENGTH = 4;
const BLOCK_BODY = 8;
/** Type, length, and the length again at the end. */
const BLOCK_FRAME_BYTES = 12;

const SECTION_MAJOR = 12;
const SECTION_BYTES = 28;
const INTERFACE_LINK = 8;
const INTERFACE_SNAPLEN = 12;
const INTERFACE_OPTIONS = 16;
const INTERFACE_BYTES = 20;
const PACKET_INTERFACE = 8;
const PACKET_TIME_HIGH = 12;
const PACKET_TIME_LOW = 16;
const PACKET_CAPTURED = 20;
const PACKET_WIRE = 24;
const PACKET_DATA = 28;
const PACKET_BYTES = 32;
const SIMPLE_WIRE = 8;
const SIMPLE_DATA = 12;
const SIMPLE_BYTES = 16;

const OPTION_END = 0;
const OPTION_TSRESOL = 9;
const OPTION_TSOFFSET = 14;
const MOST_INTERFACES = 65_536;

/** Stamps of more than 2^53 units are off by up to 256 of them; this keeps a nanosecond one in its millisecond. */
const ROUNDING_MS = 0.0005;

interface CapturedInterface {
  readonly link: number;
  readonly snaplen: number;
  readonly unitsPerMs: number;
  readonly offsetMs: number;
}

/** The reader for a file that starts with `magic`; `null` when it is not pcapng. */
export function pcapngFormat(magic: Buffer, sink: PacketSink, damage: Damage): RecordFormat | null {
  return magic.readUInt32BE(0) === SECTION ? new PcapngFormat(sink, damage) : null;
}

class PcapngFormat implements RecordFormat {
  headBytes = BLOCK_HEAD_BYTES;
  readonly #sink: PacketSink;
  readonly #damage: Damage;
  #little = true;
  #interfaces: CapturedInterface[] = [];
  readonly #stamp = new Stamp();
  /** Simple packet blocks have no stamp: they get the one before them. */
  #second = 0;
  #millisecond = 0;

  constructor(sink: PacketSink, damage: Damage) {
    this.#sink = sink;
    this.#damage = damage;
  }

  sizeOf(bytes: Buffer, at: number): number {
    if (bytes.readUInt32BE(at) === SECTION) this.#little = this.#orderOf(bytes, at + BLOCK_BODY);
    const size = this.#u32(bytes, at + BLOCK_LENGTH);
    if (size < BLOCK_FRAME_BYTES || size % 4 !== 0) throw this.#damage(`block of ${String(size)} bytes`);
    return size;
  }

  skips(bytes: Buffer, at: number): boolean {
    const type = this.#u32(bytes, at);
    return ![SECTION, INTERFACE, OBSOLETE_PACKET, SIMPLE_PACKET, ENHANCED_PACKET].includes(type);
  }

  take(bytes: Buffer, at: number, size: number): void {
    if (this.#u32(bytes, at + size - 4) !== size) throw this.#damage('the two lengths of a block differ');
    switch (this.#u32(bytes, at)) {
      case ENHANCED_PACKET:
        this.#packet(bytes, at, size, this.#u32(bytes, at + PACKET_INTERFACE));
        break;
      case OBSOLETE_PACKET:
        this.#packet(bytes, at, size, this.#u16(bytes, at + PACKET_INTERFACE));
        break;
      case SIMPLE_PACKET:
        this.#simplePacket(bytes, at, size);
        break;
      case INTERFACE:
        this.#interface(bytes, at, size);
        break;
      case SECTION:
        this.#section(bytes, at, size);
        break;
    }
  }

  #orderOf(bytes: Buffer, at: number): boolean {
    if (bytes.readUInt32LE(at) === BYTE_ORDER_MAGIC) return true;
    if (bytes.readUInt32BE(at) === BYTE_ORDER_MAGIC) return false;
    throw this.#damage('section header without a byte-order magic');
  }

  #section(bytes: Buffer, at: number, size: number): void {
    this.#needs(size, SECTION_BYTES, 'section header');
    const major = this.#u16(bytes, at + SECTION_MAJOR);
    if (major !== 1) throw this.#damage(`pcapng version ${String(major)} (only version 1 is known)`);
    this.#interfaces = [];
  }

  #interface(bytes: Buffer, at: number, size: number): void {
    this.#needs(size, INTERFACE_BYTES, 'interface description');
    if (this.#interfaces.length === MOST_INTERFACES) throw this.#damage('too many interfaces');
    const link = this.#u16(bytes, at + INTERFACE_LINK);
    const snaplen = this.#u32(bytes, at + INTERFACE_SNAPLEN);
    this.#interfaces.push({
      link,
      snaplen,
      ...this.#stampOptions(bytes, at + INTERFACE_OPTIONS, at + size - 4),
    });
  }

  #stampOptions(bytes: Buffer, start: number, end: number): { unitsPerMs: number; offsetMs: number } {
    let unitsPerMs = 1000;
    let offsetMs = 0;
    for (let at = start; at + 4 <= end;) {
      const code = this.#u16(bytes, at);
      const length = this.#u16(bytes, at + 2);
      const value = at + 4;
      if (code === OPTION_END) break;
      if (value + length > end) throw this.#damage('option longer than its block');
      if (code === OPTION_TSRESOL && length === 1) unitsPerMs = unitsOf(bytes.readUInt8(value));
      if (code === OPTION_TSOFFSET && length === 8) {
        const seconds = this.#little ? bytes.readBigInt64LE(value) : bytes.readBigInt64BE(value);
        offsetMs = Number(seconds) * 1000;
      }
      at = value + length + (-length & 3);
    }
    return { unitsPerMs, offsetMs };
  }

  #packet(bytes: Buffer, at: number, size: number, id: number): void {
    this.#needs(size, PACKET_BYTES, 'packet block');
    const source = this.#interfaceOf(id);
    const captured = this.#u32(bytes, at + PACKET_CAPTURED);
    this.#fits(captured, size - PACKET_BYTES);
    const stamp =
      this.#u32(bytes, at + PACKET_TIME_HIGH) * 0x1_0000_0000 + this.#u32(bytes, at + PACKET_TIME_LOW);
    const timeMs = Math.floor(stamp / source.unitsPerMs + ROUNDING_MS) + source.offsetMs;
    this.#second = Math.floor(timeMs / 1000);
    this.#millisecond = timeMs - this.#second * 1000;
    const wire = this.#u32(bytes, at + PACKET_WIRE);
    this.#deliver(bytes, at + PACKET_DATA, captured, wire, source.link);
  }

  #simplePacket(bytes: Buffer, at: number, size: number): void {
    this.#needs(size, SIMPLE_BYTES, 'simple packet block');
    const { link, snaplen } = this.#interfaceOf(0);
    const wire = this.#u32(bytes, at + SIMPLE_WIRE);
    const captured = snaplen === 0 ? wire : Math.min(wire, snaplen);
    this.#fits(captured, size - SIMPLE_BYTES);
    this.#deliver(bytes, at + SIMPLE_DATA, captured, wire, link);
  }

  #deliver(bytes: Buffer, start: number, captured: number, wire: number, link: number): void {
    this.#sink.frame(bytes, start, captured, wire, link, this.#stamp.at(this.#second, this.#millisecond));
  }

  #interfaceOf(id: number): CapturedInterface {
    const found = this.#interfaces[id];
    if (found === undefined)
      throw this.#damage(`packet of interface ${String(id)}, which was never described`);
    return found;
  }

  #fits(captured: number, room: number): void {
    if (captured <= room && captured <= MOST_PACKET_BYTES) return;
    throw this.#damage(`packet of ${String(captured)} bytes in a block with room for ${String(room)}`);
  }

  #needs(size: number, least: number, what: string): void {
    if (size < least) throw this.#damage(`${what} of ${String(size)} bytes`);
  }

  #u16(bytes: Buffer, at: number): number {
    return this.#little ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at);
  }

  #u32(bytes: Buffer, at: number): number {
    return this.#little ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
  }
}

/** `if_tsresol`: a negative power of ten, or of two when the high bit is set; here as units in a millisecond. */
function unitsOf(resolution: number): number {
  const power = resolution & 0x7f;
  return (resolution & 0x80 ? 2 ** power : 10 ** power) / 1000;
}
