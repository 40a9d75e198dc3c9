// Watches which of the open grants are used: asks the firewall while there are any.

import type { Clock } from '../clock.ts';
import { LINGER_MS, type FirewallDriver } from '../firewall/driver.ts';
import type { Held, HeldGrants } from './held.ts';
import type { Lanes } from './lanes.ts';
import { keyOf } from './request.ts';
import { SpentGrants } from './spent.ts';

/** How often the firewall is asked. */
const POLL_MS = 250;
/** A lane that no opening has. */
const POLL = 'poll';

interface Parts {
  readonly driver: FirewallDriver;
  readonly clock: Clock;
  readonly held: HeldGrants;
  readonly lanes: Lanes;
  readonly used: (held: Held) => void;
  readonly failed: (error: unknown) => void;
}

/** Says of each grant that was used, once, that it was. */
export class UseWatch {
  readonly #parts: Parts;
  readonly #spent: SpentGrants;
  #cancel: (() => void) | null = null;
  #stopped = false;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#spent = new SpentGrants(parts.driver, parts.failed);
  }

  /** Asks about grants that nobody else changes meanwhile. */
  report(held: readonly Held[]): Promise<void> {
    return this.#report(held, () => true);
  }

  /** Asks again and again until no grant is held. */
  go(): void {
    const { clock, held, lanes, failed } = this.#parts;
    if (this.#cancel !== null || held.isEmpty || this.#stopped) return;
    this.#cancel = clock.after(POLL_MS, () => {
      this.#cancel = null;
      lanes.along([POLL], () => this.#poll()).catch(failed);
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  async #poll(): Promise<void> {
    const { held, lanes } = this.#parts;
    // Whatever is changing right now is looked at the next time.
    const isQuiet = ({ grant }: Held): boolean => !lanes.isBusy(keyOf(grant)) && !this.#stopped;
    try {
      await this.#report(held.all.filter(isQuiet), isQuiet);
    } finally {
      this.go();
    }
  }

  async #report(held: readonly Held[], isQuiet: (held: Held) => boolean): Promise<void> {
    for (const one of await this.#spent.among(held.filter(({ isOver }) => !isOver))) {
      // After a time without us (a suspended machine) it is not listed, used or not.
      const isTold = this.#parts.clock.now() < one.grant.openUntil + LINGER_MS;
      if (this.#parts.held.has(one) && isQuiet(one) && isTold) this.#parts.used(one);
    }
  }
}
