// What the grant manager tells its owner.

import type { Grant } from '../firewall/driver.ts';

/** How a grant ended. `superseded`: the same client address knocked again for the same service. */
export type CloseReason = 'used' | 'expired' | 'revoked' | 'superseded';

export interface GrantEvents {
  closed(grant: Grant, reason: CloseReason): void;
  /** The firewall failed outside of an issue() call; the kernel still ends what was open. */
  failed(error: unknown): void;
}
