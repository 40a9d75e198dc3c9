// The client's account of what it has used up: a one-time step or an SPA counter is on record before anything is sent
// with it, and never given out twice. The gateway keeps the real account; this one spares the client refused knocks.

import { KnockError, messageOf, printable } from '../errors.ts';

/** Where a client remembers the last step or counter it used. `save` resolves when it is on stable storage. */
export interface KnockState {
  /** The value saved last; `undefined` when there is none yet. */
  load(): Promise<bigint | undefined>;
  /** Resolves when `value` is kept; the knock is sent only then. */
  save(value: bigint): Promise<void>;
}

/** Remembers for as long as the object lives: enough for one process that is the client's only one. */
export function memoryState(): KnockState {
  let last: bigint | undefined;
  return {
    load: () => Promise.resolve(last),
    save: (value) => {
      last = value;
      return Promise.resolve();
    },
  };
}

/** Gives out values one after the other. */
export class Ledger {
  readonly #state: KnockState;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(state: KnockState) {
    this.#state = state;
  }

  /** `next` sees the last value and names the one to use, or says something else, which uses none. @throws KnockError `ERR_STATE` */
  take<T extends { readonly use?: bigint }>(next: (last: bigint | undefined) => T): Promise<T> {
    const turn = this.#queue.then(() => this.#take(next));
    this.#queue = turn.catch(() => undefined);
    return turn;
  }

  async #take<T extends { readonly use?: bigint }>(next: (last: bigint | undefined) => T): Promise<T> {
    try {
      const taken = next(await this.#state.load());
      if (taken.use !== undefined) await this.#state.save(taken.use);
      return taken;
    } catch (cause) {
      const why = printable(messageOf(cause));
      throw new KnockError('ERR_STATE', `client state could not be kept: ${why} (nothing was sent)`, {
        cause,
      });
    }
  }
}
