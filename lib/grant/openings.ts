// The firewall and the record of what is open in it: recorded before it opens, forgotten after it closed.

import type { DriverContext, FirewallDriver, Grant, Service } from '../firewall/driver.ts';
import type { GrantJournal } from './journal.ts';
import { latest } from './request.ts';

/** Opens and closes. */
export class Openings {
  readonly #driver: FirewallDriver;
  readonly #journal: GrantJournal | null;
  readonly #failed: (error: unknown) => void;

  constructor(parts: {
    readonly driver: FirewallDriver;
    readonly journal: GrantJournal | null;
    readonly failed: (error: unknown) => void;
  }) {
    this.#driver = parts.driver;
    this.#journal = parts.journal;
    this.#failed = parts.failed;
  }

  /**
   * Sets up the services; the grants of an earlier run that the driver was told of.
   *
   * @throws what the driver or the journal threw
   */
  async setUp(
    services: ReadonlyMap<string, Service>,
    { context, nowMs }: { readonly context: DriverContext; readonly nowMs: number },
  ): Promise<readonly Grant[]> {
    const recorded = (await this.#journal?.open(context)) ?? [];
    const held = latest(recorded, services, nowMs);
    await this.#driver.setup([...services.values()], { ...context, held });
    const ids = new Set(held.map(({ id }) => id));
    this.forget(recorded.filter(({ id }) => !ids.has(id)));
    return held;
  }

  /**
   * Records what is to be opened, and asks meanwhile whether it may be; resolves to that.
   *
   * @throws what the journal threw
   */
  async record(grants: readonly Grant[], mayOpen: () => Promise<boolean>): Promise<boolean> {
    const [isAllowed] = await Promise.all([mayOpen(), this.#journal?.add(grants)]);
    if (!isAllowed) this.forget(grants);
    return isAllowed;
  }

  /**
   * Opens all or none of what was recorded. When one fails, says of each that was tried whether it is `closed` again, or
   * `stuck`.
   *
   * @throws what the driver threw
   */
  async open(
    grants: readonly Grant[],
    { closed, stuck }: Readonly<Record<'closed' | 'stuck', (grant: Grant) => void>>,
  ): Promise<void> {
    let count = 0;
    try {
      for (const grant of grants) {
        count += 1;
        await this.#driver.open(grant);
      }
    } catch (error) {
      this.forget(grants.slice(count));
      // The one that failed may be half open, and the driver's contract makes closing it harmless.
      for (const grant of grants.slice(0, count)) {
        try {
          await this.close(grant);
          closed(grant);
        } catch (fault) {
          this.#failed(fault);
          stuck(grant);
        }
      }
      throw error;
    }
  }

  async close(grant: Grant): Promise<void> {
    await this.#driver.close(grant);
    this.forget([grant]);
  }

  /** Takes grants that are not open any more out of the record. */
  forget(grants: readonly Grant[]): void {
    if (grants.length > 0) this.#journal?.remove(grants).catch(this.#failed);
  }

  /** Ends the record; what it names stays in it. */
  async stop(): Promise<void> {
    await this.#journal?.close();
  }
}
