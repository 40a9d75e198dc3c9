// Why a knock or a connection did not come about, as far as a client can know: the gateway never says anything.

import { KnockError, printable } from '../errors.ts';

/** Waiting longer than this for a step is no matter of too many knocks: the clock has been set back. */
export const LONGEST_WAIT_MS = 2 * 3600 * 1000;

export function notOpen(what: {
  readonly host: string;
  readonly port: number;
  readonly knocks: number;
  readonly timeoutMs: number;
  /** How far our clock is behind our own last knock. */
  readonly behindMs: number;
}): KnockError {
  const { host, port, knocks, timeoutMs, behindMs } = what;
  const advice =
    behindMs > 0
      ? `this computer's clock is ${Math.round(behindMs / 1000)} s behind its own last knock: set it right`
      : "check this computer's clock, other devices with its key, the route, and what the gateway reports";
  return new KnockError(
    'ERR_NOT_OPEN',
    `port ${port} of ${printable(host)} did not accept after ${knocks} ` +
      `${knocks === 1 ? 'knock' : 'knocks'} in ${timeoutMs / 1000} s (${advice})`,
  );
}

/** @throws KnockError `ERR_KNOCK_AHEAD` */
export function refuseAhead(waitMs: number): never {
  const advice =
    waitMs > LONGEST_WAIT_MS
      ? "this computer's clock is behind the last knock: set it right"
      : `wait ${Math.ceil(waitMs / 1000)} s`;
  throw new KnockError('ERR_KNOCK_AHEAD', `too many knocks in a row: the next is not valid yet (${advice})`);
}
