// Waiting that can be given up: on a clock, or for a promise that knows nothing of signals.

import type { Clock } from '../clock.ts';

/** Waits `ms` milliseconds of the clock. @throws the signal's reason */
export async function wait(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  let cancel = (): void => undefined;
  const elapsed = new Promise<void>((resolve) => {
    cancel = clock.after(ms, resolve);
  });
  try {
    await unlessAborted(elapsed, signal);
  } finally {
    cancel();
  }
}

/** The promise's result, or the signal's reason as soon as it is aborted. */
export function unlessAborted<T>(promise: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      reject(reasonOf(signal));
    };
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', abort);
    });
  });
}

/** Keeps the process alive while `promise` is unsettled: the timers of a {@link Clock} do not. */
export async function keepAlive<T>(promise: Promise<T>): Promise<T> {
  const hold = setInterval(() => undefined, 2 ** 30);
  try {
    return await promise;
  } finally {
    clearInterval(hold);
  }
}

function reasonOf(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason));
}
