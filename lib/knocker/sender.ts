// What a Knocker needs of a scheme: one knock, sent. Each scheme has its own file: spa-sender.ts and so on.

import type { Clock } from '../clock.ts';
import type { KnockState } from './ledger.ts';
import type { Signer } from './signer.ts';

/** What was sent. */
export interface Knocked {
  /** The gateway's address; of several, the first. */
  readonly sentTo: string;
  readonly packets: number;
  /** The one-time step that was used up. */
  readonly step?: number;
  /** This computer's clock is behind its last knock by so many milliseconds: the gateway will hardly believe it. */
  readonly clockBehindMs?: number;
}

/** Whom to knock at, and for what. */
export interface KnockTarget {
  /** The gateway's addresses, all of one family. */
  readonly addresses: readonly [string, ...string[]];
  /** Names of services; only SPA knocks name them, and those of fwknop their ports. */
  readonly services: readonly string[];
  /** Takes openings back instead. */
  readonly close: boolean;
  /** How many of the values that may be used now to leave for later knocks. */
  readonly keep: number;
  /** The last knock of a wait: nothing afterwards would show that it was lost. */
  readonly unseen: boolean;
  readonly signal: AbortSignal | undefined;
}

/** Too early for another knock. */
export interface TooEarly {
  readonly waitMs: number;
}

/** Knocks by one scheme. */
export interface KnockSender {
  /** Whether connection attempts may go on while the next knock is sent. */
  readonly keepsAttempts: boolean;
  /** Whether a knock can take openings back. */
  readonly closes: boolean;
  /** @throws KnockError `ERR_SEND`, `ERR_STATE`, `ERR_AGENT`; the signal's reason */
  knock(target: KnockTarget): Promise<Knocked | TooEarly>;
}

/** What a {@link Knocker} may be told beside its profile. */
export interface KnockerOptions {
  /** Where the last used one-time step or SPA counter is kept; in memory unless said. */
  readonly state?: KnockState;
  readonly clock?: Clock;
  /** Only addresses of this family; the resolver's first unless said. */
  readonly family?: 4 | 6;
  /** Between the knocks of a sequence that must stay in order, milliseconds; 20 unless said. */
  readonly delayMs?: number;
  /** Signs the knocks of an SPA profile that has a public key: {@link keySigner} or {@link agentSigner}. */
  readonly signer?: Signer;
  /**
   * The source that SPA knocks name: an address, or a prefix like `198.51.100.0/24`; in knocks of fwknop an IPv4 address.
   * Unless said, what the profile's `bind` asks for is made of this computer's own address, which is not what the gateway sees behind NAT.
   */
  readonly source?: string;
}
