// A clock that moves only when a test says so. Timers count elapsed time, so stepping the wall clock leaves them
// alone, exactly as on a host whose clock is corrected.

import type { Clock } from '../clock.ts';

/** A {@link Clock} under a test's control. */
export interface VirtualClock extends Clock {
  /**
   * Lets `ms` milliseconds pass: runs every timer that falls due, in order (set up first, run first, at equal times),
   * and lets promise callbacks and immediates run after each and at the end.
   */
  advance(ms: number): Promise<void>;
  /** Steps the wall clock to `ms` Unix milliseconds without moving a timer. */
  set(ms: number): void;
  /** How many timers are waiting. */
  readonly pending: number;
}

interface Timer {
  readonly due: number;
  readonly order: number;
  readonly run: () => void;
}

const LONGEST_TIMER_MS = 2 ** 31 - 1;
const TURNS = 3;

/**
 * A virtual clock that shows `startMs` (Unix milliseconds).
 * @example
 * const clock = virtualClock();
 * clock.after(1000, () => console.log('a second later'));
 * await clock.advance(1000);
 */
export function virtualClock(startMs = 1_700_000_000_000): VirtualClock {
  const timers = new Set<Timer>();
  let elapsed = 0;
  let wallAtZero = startMs;
  let order = 0;

  return {
    now: () => wallAtZero + elapsed,
    after(ms, run) {
      if (!(ms <= LONGEST_TIMER_MS)) throw new RangeError(`ms must be at most 2^31-1 (got ${String(ms)})`);
      const timer = { due: elapsed + Math.max(ms, 0), order: (order += 1), run };
      timers.add(timer);
      return () => {
        timers.delete(timer);
      };
    },
    async advance(ms) {
      if (!(ms >= 0)) throw new RangeError(`ms must not be negative (got ${String(ms)})`);
      const target = elapsed + ms;
      await settle();
      for (let next = earliest(timers, target); next !== null; next = earliest(timers, target)) {
        elapsed = Math.max(elapsed, next.due);
        timers.delete(next);
        next.run();
        await settle();
      }
      elapsed = Math.max(elapsed, target);
      await settle();
    },
    set(ms) {
      wallAtZero = ms - elapsed;
    },
    get pending() {
      return timers.size;
    },
  };
}

function earliest(timers: ReadonlySet<Timer>, until: number): Timer | null {
  let best: Timer | null = null;
  for (const timer of timers) {
    if (timer.due > until) continue;
    if (best === null || timer.due < best.due || (timer.due === best.due && timer.order < best.order))
      best = timer;
  }
  return best;
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}
