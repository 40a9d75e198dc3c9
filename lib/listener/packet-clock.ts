// A clock that shows the time of the packet at hand: what a capture would have done is decided by the capture's own time.
// Timers count the time that passes between packets; where a capture's clock was set back, none passes.

import type { Clock } from '../clock.ts';

interface Timer {
  readonly dueMs: number;
  readonly run: () => void;
}

/** Moved on by packets. */
export class PacketClock implements Clock {
  readonly #timers = new Set<Timer>();
  #nowMs = 0;
  #elapsedMs = 0;
  #nextMs = Number.POSITIVE_INFINITY;

  now(): number {
    return this.#nowMs;
  }

  after(ms: number, run: () => void): () => void {
    const timer = { dueMs: this.#elapsedMs + Math.max(0, ms), run };
    this.#timers.add(timer);
    this.#nextMs = Math.min(this.#nextMs, timer.dueMs);
    return () => {
      this.#timers.delete(timer);
    };
  }

  /** Runs what has fallen due on the way. */
  moveTo(timeMs: number): void {
    if (timeMs === this.#nowMs) return;
    if (timeMs > this.#nowMs) this.#elapsedMs += timeMs - this.#nowMs;
    this.#nowMs = timeMs;
    if (this.#elapsedMs >= this.#nextMs) this.#runDue();
  }

  #runDue(): void {
    const due = [...this.#timers].filter(({ dueMs }) => dueMs <= this.#elapsedMs);
    // One that runs may cancel one that has not yet.
    for (const timer of due.toSorted((one, other) => one.dueMs - other.dueMs)) {
      if (this.#timers.delete(timer)) timer.run();
    }
    this.#nextMs = Number.POSITIVE_INFINITY;
    for (const { dueMs } of this.#timers) this.#nextMs = Math.min(this.#nextMs, dueMs);
  }
}
