// What a replay store is: one atomic, durable step per accepted knock.

import type { Clock } from '../clock.ts';

/**
 * - `claimed`: the counter was greater than every earlier one of this client, and is now on stable storage
 * - `replayed`: it was not
 * - `window`: the store lost its past (first start, missing or damaged file): nothing is accepted until
 *   every knock that could have been recorded before has expired
 * - `failed`: it could not be made durable; the counter stays refused
 */
export type ClaimResult = 'claimed' | 'replayed' | 'window' | 'failed';

/** What a store is told when it is opened. */
export interface ReplayContext {
  readonly clock: Clock;
  /** The longest time that a recorded knock stays valid, milliseconds. */
  readonly windowMs: number;
  /** For what the operator should know. */
  readonly warning: (message: string) => void;
}

/** Remembers the highest counter accepted per client, and for a while the knocks that have none. */
export interface ReplayStore {
  readonly name: string;
  /** True when the state survives a restart of the process. */
  readonly durable: boolean;
  /** @throws KnockError `ERR_REPLAY_UNREADABLE` when the state cannot be read at all, `ERR_REPLAY_WRITE` when not written */
  open(context: ReplayContext): Promise<void>;
  /** One atomic step; resolves after the claim is durable. Never rejects. */
  claim(client: string, counter: bigint): Promise<ClaimResult>;
  /**
   * The same for a knock that has no counter: `id` is claimed once for this client. After `untilMs` (Unix milliseconds),
   * when the knock itself is too old for everybody, it may be forgotten. Never rejects.
   */
  claimOnce(client: string, id: string, untilMs: number): Promise<ClaimResult>;
  /** Whether {@link claimOnce} was called with this id before; false also when that is not in memory. */
  wasClaimed(client: string, id: string): boolean;
  /** The client's highest counter so far, claimed or refused for good; `null` when there is none, or it is not in memory. */
  floor(client: string): bigint | null;
  /** Releases the state's file or connection; what was claimed stays claimed. */
  close(): Promise<void>;
}
