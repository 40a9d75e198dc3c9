// A recorded capture as a packet source: pcap or pcapng, from a file, a pipe or any stream of bytes.

import type { Readable } from 'node:stream';
import { KnockError, printable } from '../errors.ts';
import { fileBytes, streamBytes, type ByteSource } from './bytes.ts';
import { MAGIC_BYTES } from './savefile-format.ts';
import { SavefileReader } from './savefile.ts';
import type { PacketSource, SourceContext } from './source.ts';

const CHUNK_BYTES = 1024 * 1024;
const MOST_CHUNK_BYTES = 64 * CHUNK_BYTES;

/** How a savefile is read. */
export interface CaptureFileOptions {
  /** How many bytes are read from a file at once; 1 MiB. A stream gives chunks of its own size. */
  readonly chunkBytes?: number;
}

/**
 * Packets of the savefile `input`: a path, `-` for standard input, or a stream of bytes (which is destroyed at the
 * end or at close()). Reads pcap and pcapng as fast as the sink takes them; frames carry the time of the recording.
 * A file torn at its end is delivered as far as it is whole, with a warning.
 *
 * `open()` rejects with `ERR_SAVEFILE` for a missing or unreadable file and one that is no savefile; damage found
 * later goes to `sink.error` with the same code.
 *
 * @throws RangeError for a `chunkBytes` outside 1..64 MiB
 */
export function captureFile(input: string | Readable, options: CaptureFileOptions = {}): PacketSource {
  const chunkBytes = options.chunkBytes ?? CHUNK_BYTES;
  if (!Number.isInteger(chunkBytes) || chunkBytes < 1 || chunkBytes > MOST_CHUNK_BYTES) {
    throw new RangeError(
      `chunkBytes must be an integer from 1 to ${String(MOST_CHUNK_BYTES)}, got ${String(chunkBytes)}`,
    );
  }
  if (typeof input !== 'string') return new FileSource('savefile stream', (name) => streamBytes(input, name));
  if (input === '-') return new FileSource('savefile -', (name) => streamBytes(process.stdin, name));
  return new FileSource(`savefile ${printable(input)}`, (name) => fileBytes(input, name, chunkBytes));
}

class FileSource implements PacketSource {
  readonly name: string;
  readonly loopback = true;
  readonly checksDestination = false;
  readonly #connect: (name: string) => ByteSource | Promise<ByteSource>;
  #bytes: ByteSource | null = null;
  #reader: SavefileReader | null = null;
  #opened = false;
  #closed = false;
  #releasing: Promise<void> | null = null;

  constructor(name: string, connect: (name: string) => ByteSource | Promise<ByteSource>) {
    this.name = name;
    this.#connect = connect;
  }

  async open({ sink, ready = Promise.resolve() }: SourceContext): Promise<void> {
    if (this.#opened || this.#closed) {
      throw new KnockError('ERR_SAVEFILE', `${this.name}: opened a second time (make a new source)`);
    }
    this.#opened = true;
    try {
      const bytes = (this.#bytes = await this.#connect(this.name));
      this.#refuseIfClosed();
      const head = await this.#readHead(bytes);
      this.#refuseIfClosed();
      const reader = (this.#reader = new SavefileReader(this.name, head, sink));
      // Not before the caller of open() knows that it is open.
      void ready.then(() => setImmediate(() => void this.#run(bytes, reader, head, sink)));
    } catch (error) {
      await this.#release();
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#reader?.stop();
    await this.#release();
  }

  async #readHead(bytes: ByteSource): Promise<Buffer> {
    let head: Buffer = Buffer.alloc(0);
    while (head.length < MAGIC_BYTES) {
      const chunk = await bytes.next();
      if (chunk === null) {
        const what = head.length === 0 ? 'empty' : 'too short';
        throw new KnockError('ERR_SAVEFILE', `${this.name}: not a pcap or pcapng savefile, ${what}`);
      }
      head = head.length === 0 && chunk.length >= MAGIC_BYTES ? chunk : Buffer.concat([head, chunk]);
    }
    return head;
  }

  async #run(
    bytes: ByteSource,
    reader: SavefileReader,
    head: Buffer,
    sink: SourceContext['sink'],
  ): Promise<void> {
    try {
      for (let chunk: Buffer | null = head; chunk !== null && !this.#closed; chunk = await bytes.next()) {
        reader.push(chunk);
      }
      await this.#release();
      if (this.#closed) return;
      const torn = reader.tornEnd();
      if (torn !== null) sink.warning(torn);
      sink.end();
    } catch (error) {
      if (this.#closed) return;
      await this.#release();
      sink.error(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #refuseIfClosed(): void {
    if (this.#closed) throw new KnockError('ERR_SAVEFILE', `${this.name}: closed while it was being opened`);
  }

  #release(): Promise<void> {
    if (this.#bytes === null) return Promise.resolve();
    return (this.#releasing ??= this.#bytes.close());
  }
}
