// What the grant manager is made of, and what it tells its owner.

import type { Clock } from '../clock.ts';
import type { FirewallDriver, Grant, Service } from '../firewall/driver.ts';
import type { GrantJournal } from './journal.ts';

/** How a grant ended. `superseded`: the same client address knocked again for the same service. */
export type CloseReason = 'used' | 'expired' | 'revoked' | 'superseded';

export interface GrantEvents {
  closed(grant: Grant, reason: CloseReason): void;
  /** The firewall failed outside of an issue() call; the kernel still ends what was open. */
  failed(error: unknown): void;
}

/** What a manager is made of. */
export interface ManagerParts {
  readonly driver: FirewallDriver;
  readonly services: readonly Service[];
  readonly clock: Clock;
  readonly events: GrantEvents;
  readonly journal?: GrantJournal | null;
}
