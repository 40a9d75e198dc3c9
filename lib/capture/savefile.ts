// Cuts a stream of chunks into the records of a savefile. A record that lies whole in a chunk is read in place;
// only one that straddles two chunks is copied, into one buffer of fixed size. Memory does not grow with the file.

import { KnockError } from '../errors.ts';
import { MAGIC_BYTES, MOST_PACKET_BYTES, type Damage, type RecordFormat } from './savefile-format.ts';
import { pcapFormat } from './savefile-pcap.ts';
import { pcapngFormat } from './savefile-pcapng.ts';
import type { PacketSink } from './source.ts';

/** A packet with its header and options. */
const MOST_RECORD_BYTES = MOST_PACKET_BYTES + 16 * 1024;
export class SavefileReader {
  readonly #name: string;
  readonly #format: RecordFormat;
  /** A record's beginning, when the rest of it is in chunks to come. */
  readonly #carry = Buffer.allocUnsafeSlow(MOST_RECORD_BYTES);
  #carried = 0;
  /** What is left of a record that is passed over unread. */
  #skip = 0;
  /** Where in the file the record at hand starts. */
  #offset = 0;
  #stopped = false;

  /** @throws KnockError `ERR_SAVEFILE` when `magic` (at least {@link MAGIC_BYTES}) is not a savefile's. */
  constructor(name: string, magic: Buffer, sink: PacketSink) {
    this.#name = name;
    const damage: Damage = (reason) =>
      new KnockError('ERR_SAVEFILE', `${name}: damaged at byte ${String(this.#offset)}: ${reason}`);
    const format = pcapFormat(magic, sink, damage) ?? pcapngFormat(magic, sink, damage);
    if (format === null) throw notASavefile(name, magic);
    this.#format = format;
  }

  /** Reads `chunk`, which may be overwritten afterwards. @throws KnockError `ERR_SAVEFILE` when it is damaged. */
  push(chunk: Buffer): void {
    let at = this.#skipIn(chunk, 0);
    if (this.#carried > 0) at = this.#completeCarried(chunk, at);
    while (!this.#stopped && at < chunk.length) {
      const rest = chunk.length - at;
      const size = rest < this.#format.headBytes ? Infinity : this.#sizeOf(chunk, at);
      if (size > rest) {
        this.#carryOn(chunk, at, size);
        return;
      }
      this.#take(chunk, at, size);
      at += size;
    }
  }

  /** Nothing is delivered afterwards, also not from the chunk at hand. */
  stop(): void {
    this.#stopped = true;
  }

  /** What is wrong with the end of the file, if anything: its last record is not whole. */
  tornEnd(): string | null {
    if (this.#carried === 0 && this.#skip === 0) return null;
    const at = String(this.#offset);
    return `${this.#name}: ends within a record that starts at byte ${at} (was the capture interrupted?)`;
  }

  #completeCarried(chunk: Buffer, start: number): number {
    let at = this.#fill(chunk, start, this.#format.headBytes);
    if (this.#carried < this.#format.headBytes) return at;
    const size = this.#sizeOf(this.#carry, 0);
    if (size > MOST_RECORD_BYTES) {
      this.#passOver(size, this.#carried);
      this.#carried = 0;
      return this.#skipIn(chunk, at);
    }
    at = this.#fill(chunk, at, size);
    if (this.#carried < size) return at;
    this.#carried = 0;
    this.#take(this.#carry, 0, size);
    return at;
  }

  #fill(chunk: Buffer, at: number, target: number): number {
    const wanted = Math.max(0, Math.min(target - this.#carried, chunk.length - at));
    chunk.copy(this.#carry, this.#carried, at, at + wanted);
    this.#carried += wanted;
    return at + wanted;
  }

  #carryOn(chunk: Buffer, at: number, size: number): void {
    if (size > MOST_RECORD_BYTES && size !== Infinity) this.#passOver(size, chunk.length - at);
    else this.#carried = chunk.copy(this.#carry, 0, at);
  }

  #passOver(size: number, seen: number): void {
    this.#skip = size - seen;
    this.#offset += size;
  }

  #skipIn(chunk: Buffer, at: number): number {
    const passed = Math.min(this.#skip, chunk.length - at);
    this.#skip -= passed;
    return at + passed;
  }

  #sizeOf(bytes: Buffer, at: number): number {
    const size = this.#format.sizeOf(bytes, at);
    if (size > MOST_RECORD_BYTES && !this.#format.skips(bytes, at)) {
      const text = `${this.#name}: damaged at byte ${String(this.#offset)}: record of ${String(size)} bytes`;
      throw new KnockError('ERR_SAVEFILE', `${text} (at most ${String(MOST_RECORD_BYTES)})`);
    }
    return size;
  }

  #take(bytes: Buffer, at: number, size: number): void {
    this.#format.take(bytes, at, size);
    this.#offset += size;
  }
}

function notASavefile(name: string, magic: Buffer): KnockError {
  const zipped = magic[0] === 0x1f && magic[1] === 0x8b;
  const hint = zipped ? 'compressed: unpack it first' : 'record with tcpdump -w';
  const got = magic.toString('hex', 0, MAGIC_BYTES);
  return new KnockError(
    'ERR_SAVEFILE',
    `${name}: not a pcap or pcapng savefile, starts with ${got} (${hint})`,
  );
}
