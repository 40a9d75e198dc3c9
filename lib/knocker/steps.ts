// Which one-time step a knock may use: never one that was used before, at most three ahead of the clock
// (protocols/one-time.md, "Once"). A step is on record before anything is sent with it.

import type { Clock } from '../clock.ts';
import { KnockError, messageOf, printable } from '../errors.ts';
import { stepAt, STEPS_AROUND } from '../scheme/one-time-key.ts';

/** Where a client remembers the last step it used. `save` resolves when the step is on stable storage. */
export interface KnockState {
  /** The step saved last; `undefined` when there is none yet. */
  load(): Promise<number | undefined>;
  /** Resolves when `step` is kept; the knock is sent only then. */
  save(step: number): Promise<void>;
}

/** Remembers for as long as the object lives: enough for one process that is the client's only one. */
export function memoryState(): KnockState {
  let last: number | undefined;
  return {
    load: () => Promise.resolve(last),
    save: (step) => {
      last = step;
      return Promise.resolve();
    },
  };
}

/** A step to use now, or how long to wait for one. */
export type Claim = { readonly step: number } | { readonly waitMs: number };

/** Hands out the steps of one client, each once. */
export class Steps {
  readonly #state: KnockState;
  readonly #clock: Clock;
  readonly #stepSeconds: number;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(state: KnockState, clock: Clock, stepSeconds: number) {
    this.#state = state;
    this.#clock = clock;
    this.#stepSeconds = stepSeconds;
  }

  /** `keep`: how many of the steps ahead to leave unused. @throws KnockError `ERR_STATE` */
  claim(keep = 0): Promise<Claim> {
    const turn = this.#queue.then(() => this.#claim(keep));
    this.#queue = turn.catch(() => undefined);
    return turn;
  }

  async #claim(keep: number): Promise<Claim> {
    try {
      const nowMs = this.#clock.now();
      const last = (await this.#state.load()) ?? -1;
      const step = Math.max(stepAt(nowMs, this.#stepSeconds), last + 1);
      const earliestMs = (step - STEPS_AROUND + keep) * this.#stepSeconds * 1000;
      if (earliestMs > nowMs) return { waitMs: earliestMs - nowMs };
      await this.#state.save(step);
      return { step };
    } catch (cause) {
      const why = printable(messageOf(cause));
      throw new KnockError('ERR_STATE', `client state could not be kept: ${why} (nothing was sent)`, {
        cause,
      });
    }
  }
}
