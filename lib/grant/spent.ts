// Which grants were used: whatever we hold and the firewall no longer lists was spent by a connection.

import type { FirewallDriver, Grant } from '../firewall/driver.ts';
import { keyOf } from './request.ts';

/** Asks the firewall. */
export class SpentGrants {
  readonly #driver: FirewallDriver;
  readonly #failed: (error: unknown) => void;
  /** A firewall that cannot be asked is reported once, not four times a second. */
  #reported = false;

  constructor(driver: FirewallDriver, failed: (error: unknown) => void) {
    this.#driver = driver;
    this.#failed = failed;
  }

  /** Those of `held` that were spent; none when the firewall cannot be asked. */
  async among<T extends { readonly grant: Grant }>(held: Iterable<T>): Promise<readonly T[]> {
    try {
      const open = new Set((await this.#driver.list()).map(keyOf));
      this.#reported = false;
      return [...held].filter(({ grant }) => !open.has(keyOf(grant)));
    } catch (error) {
      if (!this.#reported) this.#failed(error);
      this.#reported = true;
      return [];
    }
  }
}
