// Rejects as events: the first of a kind at once, its repetitions of the next second as one event with their count.
// A kind is a reason, a scheme and a client, all of which are configured or literal, so the table cannot grow.

import type { Clock } from '../clock.ts';
import type { RejectReason } from '../scheme/scheme.ts';

/** A refused knock. `count` says how many this event stands for; `source` is that of the last one. */
export interface Reject {
  readonly reason: RejectReason;
  readonly source: string;
  readonly scheme: string;
  readonly client?: string;
  /** How far the client's clock is ahead (behind: negative), milliseconds, when that is what is wrong. */
  readonly clockOffsetMs?: number;
  readonly count: number;
}

const WINDOW_MS = 1000;

/** Limits the rate of reject events. */
export class RejectThrottle {
  readonly #clock: Clock;
  readonly #emit: (reject: Reject) => void;
  readonly #held = new Map<string, { last: Reject | null; cancel: () => void }>();

  constructor(clock: Clock, emit: (reject: Reject) => void) {
    this.#clock = clock;
    this.#emit = emit;
  }

  note(reject: Reject): void {
    const kind = `${reject.reason} ${reject.scheme} ${reject.client ?? ''}`;
    const held = this.#held.get(kind);
    if (held !== undefined) {
      held.last = { ...reject, count: (held.last?.count ?? 0) + reject.count };
      return;
    }
    this.#emit(reject);
    this.#hold(kind);
  }

  /** Emits what is held back and stops the timers. */
  flush(): void {
    for (const [kind, held] of this.#held) {
      held.cancel();
      this.#held.delete(kind);
      if (held.last !== null) this.#emit(held.last);
    }
  }

  #hold(kind: string): void {
    const cancel = this.#clock.after(WINDOW_MS, () => {
      const last = this.#held.get(kind)?.last ?? null;
      this.#held.delete(kind);
      if (last === null) return;
      this.#emit(last);
      this.#hold(kind);
    });
    this.#held.set(kind, { last: null, cancel });
  }
}
