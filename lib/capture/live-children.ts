// The capture processes of one interface. To change the kernel's filter a second one is started beside the first and
// takes over from it; while both run, handover.ts sees to it that each packet is delivered once.

import type { Clock } from '../clock.ts';
import type { FrameHandler } from './frames.ts';
import { Handover } from './handover.ts';
import type { LiveChild } from './live-child.ts';
import type { PacketSink, SourceContext } from './source.ts';

/** {@link LiveChildren}'s options. */
export interface LiveChildrenOptions {
  readonly context: SourceContext;
  /** Starts a capture process with this filter. */
  readonly spawn: (filter: string) => LiveChild;
  /** Called when the last child has ended by itself, with how it did and how long it had captured. */
  readonly onLost: (how: string, livedMs: number) => void;
}

/** Two children that capture side by side. */
interface Overlap {
  readonly old: LiveChild;
  readonly next: LiveChild;
  readonly handover: Handover;
}

/** So long the new child's frames wait in its pipe, so that those that only the old one saw come before them. */
const SETTLE_MS = 250;
/** So long both capture; much longer than the times of twins may differ (handover.ts). */
const TOGETHER_MS = 1000;
/** So long twins are looked for after the old child's end: the new one may lag behind it. */
const LINGER_MS = 1000;

/** Delivers to the sink what one child captures, or two that change over. */
export class LiveChildren {
  readonly #sink: PacketSink;
  readonly #clock: Clock;
  readonly #options: LiveChildrenOptions;
  /** All that have not ended. */
  readonly #running = new Set<LiveChild>();
  /** The one whose filter is in force. */
  #current: LiveChild | null = null;
  #starting = false;
  #overlap: Overlap | null = null;
  #endWait: () => void = () => undefined;
  #toldOfRoot = false;
  #closed = false;

  constructor(options: LiveChildrenOptions) {
    this.#options = options;
    this.#sink = options.context.sink;
    this.#clock = options.context.clock;
  }

  /** The filter in force; `null` when nothing is captured. */
  get filter(): string | null {
    return this.#current?.filter ?? null;
  }

  /**
   * Resolves when `filter` is in force. An earlier child goes on until relieve(), which has to follow before the next
   * call. @throws KnockError `ERR_PCAP_*`, `ERR_CAPTURE*`; the earlier child stays
   */
  async change(filter: string): Promise<void> {
    const next = this.#options.spawn(filter);
    this.#running.add(next);
    void next.gone.then(() => this.#running.delete(next));
    const old = this.#current;
    if (old !== null) this.#overlap = { old, next, handover: new Handover() };
    this.#starting = true;
    try {
      this.#tellOfRoot(await next.ready);
    } catch (error) {
      this.#overlap = null;
      throw error;
    } finally {
      this.#starting = false;
    }
    this.#current = next;
    if (old === null) this.#read(next);
    const began = performance.now();
    void next.gone.then((how) => {
      this.#lost(next, how, performance.now() - began);
    });
  }

  /** Ends the earlier child after a while; resolves when nothing is left of it. Never rejects. */
  async relieve(): Promise<void> {
    if (this.#overlap === null) return;
    const { old, next } = this.#overlap;
    await this.#wait(SETTLE_MS);
    this.#read(next);
    await this.#wait(TOGETHER_MS - SETTLE_MS);
    // Not when the new one has died, and the old one has taken over again.
    if (this.#current !== old) await old.retire(this.#clock);
    await this.#wait(LINGER_MS);
    this.#overlap = null;
  }

  /** Resolves when all are gone; delivers nothing from the call on. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#endWait();
    await Promise.all([...this.#running].map((child) => child.kill()));
  }

  #lost(child: LiveChild, how: string, livedMs: number): void {
    if (this.#closed || child !== this.#current) return;
    const overlap = this.#overlap;
    if (overlap?.next === child && overlap.old.capturing) {
      this.#current = overlap.old;
      this.#sink.warning(`a new capture process ended (${how}); the one before it goes on`);
      return;
    }
    this.#current = null;
    if (!this.#starting) this.#options.onLost(how, livedMs);
    // If that one fails, who started it sees that there is none.
    else this.#sink.warning(`capture process ended (${how}); another one is starting`);
  }

  #read(child: LiveChild): void {
    const deliver: FrameHandler = (bytes, start, captured, wire, link, timeMs) => {
      if (this.#closed) return;
      if (this.#overlap !== null) {
        const side = this.#overlap.old === child ? 'old' : 'new';
        if (!this.#overlap.handover.admits(side, { bytes, start, captured, link, timeMs })) return;
      }
      try {
        this.#sink.frame(bytes, start, captured, wire, link, timeMs);
      } catch (error) {
        // An event handler of our user threw: that is not the capture's fault, and the frames behind are whole.
        queueMicrotask(() => {
          throw error;
        });
      }
    };
    child.read(deliver);
  }

  #tellOfRoot(droppedRoot: boolean): void {
    if (droppedRoot || this.#toldOfRoot) return;
    this.#toldOfRoot = true;
    this.#sink.warning('capture process keeps root of this user namespace: there is no other user in it');
  }

  /** Waits, but not beyond close(). */
  #wait(ms: number): Promise<void> {
    if (this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      const cancel = this.#clock.after(ms, resolve);
      this.#endWait = () => {
        cancel();
        resolve();
      };
    });
  }
}
