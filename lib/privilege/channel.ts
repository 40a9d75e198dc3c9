// What passes between the two halves of portknockd: values as lines of JSON on a pipe of their own. Whoever sends a line
// that is too long, or is none, is not listened to any more.

import type { Duplex } from 'node:stream';

/** {@link LineChannel}'s options. */
export interface ChannelOptions {
  /** Of a line that comes in. */
  readonly mostBytes: number;
  readonly take: (value: unknown) => void;
  /** Called once, with why nothing comes any more: a fault of the other side, or `null` at its end. */
  readonly ended: (fault: string | null) => void;
}

/** What the other side has not taken, before it is given up. */
const MOST_UNSENT = 64 * 1024 * 1024;
const NEWLINE = 0x0a;

/** One end of the pipe. */
export class LineChannel {
  readonly #stream: Duplex;
  readonly #options: ChannelOptions;
  /** The beginning of a line whose end has not come. */
  #parts: Buffer[] = [];
  #bytes = 0;
  #ended = false;

  constructor(stream: Duplex, options: ChannelOptions) {
    this.#stream = stream;
    this.#options = options;
    stream.on('data', (chunk: Buffer) => {
      this.#push(chunk);
    });
    stream.once('end', () => {
      this.#end(null);
    });
    stream.once('close', () => {
      this.#end(null);
    });
    // Its end follows.
    stream.on('error', () => undefined);
  }

  send(value: unknown): void {
    if (this.#ended) return;
    this.#stream.write(`${JSON.stringify(value)}\n`);
    if (this.#stream.writableLength > MOST_UNSENT) this.#end('it does not read what it asked for');
  }

  /** Takes and sends nothing from the call on. */
  close(): void {
    this.#ended = true;
    this.#parts = [];
    this.#stream.destroy();
  }

  #push(chunk: Buffer): void {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0 && !this.#ended; end = chunk.indexOf(NEWLINE, from)) {
      this.#keep(chunk.subarray(from, end));
      from = end + 1;
      const line = Buffer.concat(this.#parts).toString('utf8');
      this.#parts = [];
      if (!this.#tooLong()) this.#take(line);
      this.#bytes = 0;
    }
    if (this.#ended || from === chunk.length) return;
    // A copy: the stream's buffer may be much larger.
    this.#keep(Buffer.from(chunk.subarray(from)));
    this.#tooLong();
  }

  #keep(part: Buffer): void {
    this.#parts.push(part);
    this.#bytes += part.length;
  }

  #tooLong(): boolean {
    if (this.#bytes <= this.#options.mostBytes) return false;
    this.#end(`it sent a line of more than ${this.#options.mostBytes} bytes`);
    return true;
  }

  #take(line: string): void {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch {
      this.#end('it sent a line that is no JSON');
      return;
    }
    this.#options.take(value);
  }

  #end(fault: string | null): void {
    if (this.#ended) return;
    this.close();
    this.#options.ended(fault);
  }
}
