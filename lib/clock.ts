// Time is a parameter: everything that waits or looks at the clock is handed one of these.
// The virtual clock of the tests is in testing/clock.ts.

/** Wall-clock time and timers. Timers count elapsed time: a step of the wall clock does not move them. */
export interface Clock {
  /** Unix time in milliseconds. */
  now(): number;
  /** Calls `run` once after `ms` milliseconds (at most 2^31-1); returns a function that cancels. */
  after(ms: number, run: () => void): () => void;
}

/** The host's clock. Its timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    timer.unref();
    return () => {
      clearTimeout(timer);
    };
  },
};
