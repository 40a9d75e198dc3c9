// A packet source in memory, for tests: what is pushed is delivered at once. Each frame is lent for the call only,
// from the middle of a buffer that is overwritten right after it, so that a sink that keeps one is found out.

import type { Clock } from '../clock.ts';
import { KnockError } from '../errors.ts';
import { LINK_ETHERNET } from '../packet/link.ts';
import type { PacketSink, PacketSource, SourceContext } from '../capture/source.ts';

/** A {@link PacketSource} under a test's control. Before open() its methods throw; after close() they do nothing. */
export interface MemorySource extends PacketSource {
  /** Delivers `bytes` as a whole frame of link type `link` (Ethernet unless given), stamped with the clock's time. */
  frame(bytes: Uint8Array, link?: number): void;
  /** Tells the sink that the source is exhausted. */
  end(): void;
  /** Tells the sink of `count` lost packets. */
  drop(count: number): void;
  /** Warns the sink. */
  warn(message: string): void;
  /** Makes the source fail for good. */
  fail(error: Error): void;
  /** What open() was told; `null` before it and after close(). */
  readonly context: SourceContext | null;
}

/** How a {@link memorySource} presents itself. */
export interface MemorySourceOptions {
  /** True when loopback sources are to be accepted; false unless given. */
  readonly loopback?: boolean;
  /** True when destinations are to be checked against the host's addresses; false unless given. */
  readonly checksDestination?: boolean;
  /** Makes open() reject with this. */
  readonly refuse?: Error;
}

const MARGIN = 16;
const JUNK = 0xa5;

/**
 * A source that delivers what a test pushes.
 * @example
 * const source = memorySource();
 * await source.open({ sink, clock, needs: [] });
 * source.frame(frameBytes);
 */
export function memorySource(options: MemorySourceOptions = {}): MemorySource {
  return new Memory(options);
}

class Memory implements MemorySource {
  readonly name = 'memory';
  readonly loopback: boolean;
  readonly checksDestination: boolean;
  readonly #refuse: Error | undefined;
  #context: SourceContext | null = null;
  #opened = false;
  #closed = false;

  constructor({ loopback = false, checksDestination = false, refuse }: MemorySourceOptions) {
    this.loopback = loopback;
    this.checksDestination = checksDestination;
    this.#refuse = refuse;
  }

  get context(): SourceContext | null {
    return this.#context;
  }

  open(context: SourceContext): Promise<void> {
    if (this.#refuse !== undefined) return Promise.reject(this.#refuse);
    if (this.#opened || this.#closed) {
      return Promise.reject(
        new KnockError('ERR_CAPTURE', 'memory: opened a second time (make a new source)'),
      );
    }
    this.#opened = true;
    this.#context = context;
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#context = null;
    return Promise.resolve();
  }

  frame(bytes: Uint8Array, link = LINK_ETHERNET): void {
    this.#tell((sink, clock) => {
      const lent = Buffer.alloc(MARGIN + bytes.length + MARGIN, JUNK);
      lent.set(bytes, MARGIN);
      try {
        sink.frame(lent, MARGIN, bytes.length, bytes.length, link, clock.now());
      } finally {
        lent.fill(JUNK);
      }
    });
  }

  end(): void {
    this.#tell((sink) => {
      sink.end();
    });
  }

  drop(count: number): void {
    this.#tell((sink) => {
      sink.dropped(count);
    });
  }

  warn(message: string): void {
    this.#tell((sink) => {
      sink.warning(message);
    });
  }

  fail(error: Error): void {
    this.#tell((sink) => {
      sink.error(error);
    });
  }

  #tell(call: (sink: PacketSink, clock: Clock) => void): void {
    if (!this.#opened && !this.#closed) throw new Error('memory source: open() it first');
    if (this.#context !== null) call(this.#context.sink, this.#context.clock);
  }
}
