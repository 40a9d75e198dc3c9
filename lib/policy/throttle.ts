// Events at a bounded rate: the first of a kind at once, its repetitions of the next second as one event with their count.
// Kinds are made of what is configured or literal, never of what a packet says, and there is a limit to them as well.

import { formatAddress, type Address } from '../address.ts';
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
  /** What exactly was refused, where the reason does not say it: `tcp/23`. */
  readonly detail?: string;
  readonly count: number;
}

/** A refused knock before it is told: most of a flood's are only counted, so their sources are not made text of. */
export type Refused = Omit<Reject, 'source' | 'count'> & { readonly source: Address };

const WINDOW_MS = 1000;
/** Kinds of rejects that are told apart by client at a time: who has many clients' knocks must not write as many lines. */
const MOST_KINDS = 100;

/** Limits the rate of events, each of which is told with how many it stands for. */
export class Throttle<T> {
  readonly #clock: Clock;
  readonly #emit: (event: T, count: number) => void;
  readonly #held = new Map<string, { last: T | null; count: number; cancel: () => void }>();

  constructor(clock: Clock, emit: (event: T, count: number) => void) {
    this.#clock = clock;
    this.#emit = emit;
  }

  /** How many kinds are held back at present. */
  get kinds(): number {
    return this.#held.size;
  }

  holds(kind: string): boolean {
    return this.#held.has(kind);
  }

  note(kind: string, event: T): void {
    const held = this.#held.get(kind);
    if (held !== undefined) {
      held.last = event;
      held.count += 1;
      return;
    }
    // First, since whoever is told may cause another.
    this.#hold(kind);
    this.#emit(event, 1);
  }

  /** Emits what is held back and stops the timers. */
  flush(): void {
    for (const [kind, { last, count, cancel }] of this.#held) {
      cancel();
      this.#held.delete(kind);
      if (last !== null) this.#emit(last, count);
    }
  }

  #hold(kind: string): void {
    const cancel = this.#clock.after(WINDOW_MS, () => {
      const held = this.#held.get(kind);
      this.#held.delete(kind);
      if (held === undefined || held.last === null) return;
      this.#hold(kind);
      this.#emit(held.last, held.count);
    });
    this.#held.set(kind, { last: null, count: 0, cancel });
  }
}

/** Limits the rate of reject events. */
export class RejectThrottle {
  readonly #throttle: Throttle<Refused>;

  constructor(clock: Clock, emit: (reject: Reject) => void) {
    this.#throttle = new Throttle(clock, ({ source, ...refused }, count) => {
      emit({ ...refused, source: formatAddress(source), count });
    });
  }

  note(refused: Refused): void {
    const kind = kindOf(refused);
    const isTold = this.#throttle.holds(kind) || this.#throttle.kinds < MOST_KINDS;
    if (isTold) this.#throttle.note(kind, refused);
    else {
      const { reason, scheme, source } = refused;
      this.#throttle.note(kindOf({ reason, scheme }), { reason, scheme, source });
    }
  }

  /** Emits what is held back and stops the timers. */
  flush(): void {
    this.#throttle.flush();
  }
}

function kindOf({ reason, scheme, client = '' }: Pick<Reject, 'reason' | 'scheme' | 'client'>): string {
  return `${reason} ${scheme} ${client}`;
}
