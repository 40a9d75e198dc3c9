// Which one-time step a knock may use: never one that was used before, at most three ahead of the clock
// (protocols/one-time.md, "Once").

import type { Clock } from '../clock.ts';
import { stepAt, STEPS_AROUND } from '../scheme/one-time-key.ts';
import type { Ledger } from './ledger.ts';

/** A step to use now, or how long to wait for one. */
export type Claim = { readonly step: number } | { readonly waitMs: number };

/** Hands out the steps of one client, each once. */
export class Steps {
  readonly #ledger: Ledger;
  readonly #clock: Clock;
  readonly #stepSeconds: number;

  constructor(ledger: Ledger, clock: Clock, stepSeconds: number) {
    this.#ledger = ledger;
    this.#clock = clock;
    this.#stepSeconds = stepSeconds;
  }

  /** `keep`: how many of the steps ahead to leave unused. @throws KnockError `ERR_STATE` */
  async claim(keep = 0): Promise<Claim> {
    const nowMs = this.#clock.now();
    const { step, waitMs } = await this.#ledger.take((last) => this.#next(nowMs, keep, Number(last ?? -1n)));
    return waitMs > 0 ? { waitMs } : { step };
  }

  #next(nowMs: number, keep: number, last: number): { step: number; waitMs: number; use?: bigint } {
    const step = Math.max(stepAt(nowMs, this.#stepSeconds), last + 1);
    const earliestMs = (step - STEPS_AROUND + keep) * this.#stepSeconds * 1000;
    return earliestMs > nowMs ? { step, waitMs: earliestMs - nowMs } : { step, waitMs: 0, use: BigInt(step) };
  }
}
