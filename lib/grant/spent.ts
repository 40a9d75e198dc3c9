// Which grants were used: whatever we held before we asked and the firewall does not list was spent by a connection.

import type { FirewallDriver, Grant } from '../firewall/driver.ts';
import { keyOf } from './request.ts';

/** Asks the firewall. */
export class SpentGrants {
  readonly #driver: FirewallDriver;
  readonly #failed: (error: unknown) => void;
  #asking: Promise<unknown> = Promise.resolve();
  /** The question after the one under way: whoever asks meanwhile shares it. */
  #next: Promise<ReadonlySet<string> | null> | null = null;
  /** A firewall that cannot be asked is reported once, not four times a second. */
  #reported = false;

  constructor(driver: FirewallDriver, failed: (error: unknown) => void) {
    this.#driver = driver;
    this.#failed = failed;
  }

  /** Those of `held` that were spent; none when the firewall cannot be asked. */
  async among<T extends { readonly grant: Grant }>(held: readonly T[]): Promise<readonly T[]> {
    if (held.length === 0) return [];
    this.#next ??= this.#asking.then(() => {
      this.#next = null;
      const answer = this.#ask();
      this.#asking = answer;
      return answer;
    });
    const open = await this.#next;
    return open === null ? [] : held.filter(({ grant }) => !open.has(keyOf(grant)));
  }

  /** What is open now; `null` when the firewall cannot be asked. */
  async #ask(): Promise<ReadonlySet<string> | null> {
    try {
      const open = new Set((await this.#driver.list()).map(keyOf));
      this.#reported = false;
      return open;
    } catch (error) {
      if (!this.#reported) this.#failed(error);
      this.#reported = true;
      return null;
    }
  }
}
