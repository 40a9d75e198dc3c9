// The host's failures as events: a disk that is full or a firewall that refuses fails every knock of a flood, and is
// reported once a second, with a count.

import type { Clock } from '../clock.ts';
import { isKnockError, KnockError } from '../errors.ts';
import { Throttle } from '../policy/throttle.ts';

/** A throttle of failures; their kind is their code, or what else they are called. */
export class Failures {
  readonly #throttle: Throttle<Error>;

  constructor(clock: Clock, emit: (error: Error) => void) {
    this.#throttle = new Throttle(clock, (error, count) => {
      emit(count === 1 ? error : repeated(error, count));
    });
  }

  note(thrown: unknown): void {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    this.#throttle.note(isKnockError(error) ? error.code : error.name, error);
  }

  /** Emits what is held back and stops the timers. */
  flush(): void {
    this.#throttle.flush();
  }
}

function repeated(error: Error, count: number): Error {
  const message = `${error.message} (the last of ${count} failures of this kind within a second)`;
  return isKnockError(error)
    ? new KnockError(error.code, message, { cause: error })
    : new Error(message, { cause: error });
}
