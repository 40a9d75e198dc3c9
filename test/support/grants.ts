// Opening grants on a machine that may stand still: a driver takes back what it made late, and who wants in knocks again.

import { isKnockError } from '../../lib/errors.ts';
import type { FirewallDriver, Grant } from '../../lib/firewall/driver.ts';

/** What a driver says that took an opening back. */
export const LATE = /took \d+ ms, so that the opening would have ended late \(knock again\)/u;

/** Opens a grant, until the driver was in time. */
export async function openInTime(driver: FirewallDriver, grant: Grant): Promise<void> {
  for (;;) {
    try {
      await driver.open(grant);
      return;
    } catch (error) {
      if (!isKnockError(error) || !LATE.test(error.message)) throw error;
    }
  }
}
