// For how long a store that lost its past refuses everything. Both clocks must agree that the time is over: the wall
// clock, which knocks are dated by and which survives a restart, and elapsed time, which nobody can step.

import type { Clock } from '../clock.ts';

/** Refuses until the wall clock shows `untilMs`, and at least for as long as that seemed to be away at the start. */
export class RefusalWindow {
  readonly #clock: Clock;
  readonly #windowMs: number;
  readonly #cancel: () => void;
  #until: number;
  #isRunning: boolean;

  constructor(clock: Clock, windowMs: number, untilMs: number) {
    this.#clock = clock;
    this.#windowMs = windowMs;
    this.#until = untilMs;
    const leftMs = untilMs - clock.now();
    this.#isRunning = leftMs > 0;
    this.#cancel = this.#isRunning
      ? clock.after(leftMs, () => {
          this.#isRunning = false;
        })
      : () => undefined;
  }

  /** Unix milliseconds; in the past when nothing is refused. */
  get untilMs(): number {
    return this.#until;
  }

  isRefusing(): boolean {
    const now = this.#clock.now();
    // A clock that was set far back must not refuse for years: one window from now on is enough.
    if (this.#until > now + this.#windowMs) this.#until = now + this.#windowMs;
    return this.#isRunning || now < this.#until;
  }

  close(): void {
    this.#cancel();
  }
}
