// What is open because the verifying half asked for it: how much of it there may be, and, where no kernel ends an opening,
// that it ends on time whatever becomes of that half.

import type { Clock } from '../clock.ts';
import type { FirewallDriver, Grant, Opening } from '../firewall/driver.ts';
import { keyOf } from '../grant/request.ts';

/** {@link Ledger}'s options. */
export interface LedgerOptions {
  readonly clock: Clock;
  readonly driver: Pick<FirewallDriver, 'endsByItself'>;
  /** Closes what should have been closed by now. */
  readonly close: (grant: Grant) => Promise<void>;
}

interface Entry {
  readonly grant: Grant;
  /** When the kernel has ended it at the latest. */
  readonly lastsUntil: number;
  /** When it was open: a list that was asked for before does not know of it. `null`: not yet. */
  openSince: number | null;
  /** When it is closed, or closed again. */
  closeAt: number;
}

export const MOST_LIVE = 16_384;
/** The verifying half closes on time; it has this long for it. */
const GRACE_MS = 1000;
const RETRY_MS = 10_000;
const SWEEP_MS = 1000;

/** Openings by service and source. */
export class Ledger {
  readonly #options: LedgerOptions;
  readonly #endsByItself: boolean;
  readonly #entries = new Map<string, Entry>();
  #cancel: (() => void) | null = null;

  constructor(options: LedgerOptions) {
    this.#options = options;
    this.#endsByItself = options.driver.endsByItself !== false;
  }

  get grants(): readonly Grant[] {
    return [...this.#entries.values()].map(({ grant }) => grant);
  }

  /** Enters what is about to be opened; false when there is no room. */
  enter(grant: Grant, openForMs: number): boolean {
    const key = keyOf(grant);
    if (!this.#entries.has(key) && this.#entries.size >= MOST_LIVE) return false;
    const lastsUntil = this.#options.clock.now() + openForMs;
    const closeAt = Math.min(grant.openUntil, lastsUntil) + GRACE_MS;
    this.#entries.set(key, { grant, lastsUntil, openSince: null, closeAt });
    this.#sweepLater();
    return true;
  }

  opened(grant: Grant): void {
    const entry = this.#entries.get(keyOf(grant));
    if (entry !== undefined) entry.openSince = performance.now();
  }

  /** Whether it is this very grant that is entered. */
  has(grant: Grant): boolean {
    return this.#entries.get(keyOf(grant))?.grant === grant;
  }

  knows(grant: Grant): boolean {
    return this.#entries.get(keyOf(grant))?.grant.port === grant.port;
  }

  forget(grant: Grant): void {
    this.#entries.delete(keyOf(grant));
  }

  /** What was open before the firewall was asked for its list, and is not in it, was used. */
  reconcile(listed: readonly Opening[], askedAt: number): void {
    const open = new Set(listed.map(keyOf));
    for (const [key, { openSince }] of this.#entries) {
      if (openSince !== null && openSince < askedAt && !open.has(key)) this.#entries.delete(key);
    }
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  #sweepLater(): void {
    this.#cancel ??= this.#options.clock.after(SWEEP_MS, () => {
      this.#cancel = null;
      this.#sweep();
      if (this.#entries.size > 0) this.#sweepLater();
    });
  }

  #sweep(): void {
    const now = this.#options.clock.now();
    for (const [key, entry] of this.#entries) {
      if (this.#endsByItself) {
        if (now > entry.lastsUntil) this.#entries.delete(key);
      } else if (now > entry.closeAt) {
        entry.closeAt = now + RETRY_MS;
        void this.#close(key, entry);
      }
    }
  }

  async #close(key: string, entry: Entry): Promise<void> {
    try {
      await this.#options.close(entry.grant);
      if (this.#entries.get(key) === entry) this.#entries.delete(key);
    } catch {
      // Again, until it works.
    }
  }
}
