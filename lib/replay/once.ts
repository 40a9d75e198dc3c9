// Knocks without a counter: each has an id of its own, is claimed once, and is forgotten when nobody would accept it any
// more. As in window.ts both clocks must agree on that: the wall clock, which knocks are dated by, and elapsed time.

import type { Clock } from '../clock.ts';
import { clientKey } from './log.ts';

/** Of one client, that cannot be forgotten yet: as many as it knocks in days, and few enough for our memory. */
const MOST_OF_A_CLIENT = 10_000;

interface Entry {
  /** Unix milliseconds. */
  readonly untilMs: number;
  /** `null`: from an earlier run, which did not say whose it is. */
  readonly client: string | null;
  /** It was here when the present round of sweeping began. */
  isOld: boolean;
}

/** What a client's id is kept under. */
export function onceKey(client: string, id: string): string {
  return `once ${id} ${client}`;
}

/** Among the ends, that of what was forgotten; no client's id has this key. */
const FORGOTTEN = clientKey('once');

/** What was claimed once. */
export class OnceClaims {
  readonly #clock: Clock;
  readonly #windowMs: number;
  readonly #entries = new Map<string, Entry>();
  readonly #counts = new Map<string, number>();
  /** Whatever ends no later may be forgotten already, which counts when the wall clock is set back after that. */
  #forgottenMs = 0;
  #cancel: (() => void) | null = null;

  /** `found`: of an earlier run, with the end of each. */
  constructor(clock: Clock, windowMs: number, found: ReadonlyMap<string, number>) {
    this.#clock = clock;
    this.#windowMs = windowMs;
    for (const [key, untilMs] of found) {
      if (key === FORGOTTEN) this.#forgottenMs = untilMs;
      else this.#entries.set(key, { untilMs, client: null, isOld: false });
    }
    this.#sweepLater();
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /** Whether one with this end may have been claimed and forgotten. */
  mayBeForgotten(untilMs: number): boolean {
    return untilMs <= this.#forgottenMs;
  }

  /** False when the client has as many as it may have. */
  add(key: string, { client, untilMs }: { readonly client: string; readonly untilMs: number }): boolean {
    const count = this.#counts.get(client) ?? 0;
    if (count >= MOST_OF_A_CLIENT) return false;
    this.#counts.set(client, count + 1);
    this.#entries.set(key, { untilMs, client, isOld: false });
    this.#sweepLater();
    return true;
  }

  /** The end of each, by key, and of what was forgotten. */
  ends(): Map<string, number> {
    const ends = new Map([...this.#entries].map(([key, { untilMs }]) => [key, untilMs]));
    if (this.#forgottenMs > 0) ends.set(FORGOTTEN, this.#forgottenMs);
    return ends;
  }

  close(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  #sweepLater(): void {
    if (this.#cancel !== null || this.#entries.size === 0) return;
    this.#cancel = this.#clock.after(Math.max(this.#windowMs, 1), () => {
      this.#cancel = null;
      this.#sweep();
      this.#sweepLater();
    });
  }

  /** An old entry has been here for a whole window, whatever the wall clock did meanwhile. */
  #sweep(): void {
    const now = this.#clock.now();
    for (const [key, entry] of this.#entries) {
      if (entry.isOld && entry.untilMs < now) this.#forget(key, entry);
      else entry.isOld = true;
    }
  }

  #forget(key: string, { client, untilMs }: Entry): void {
    this.#entries.delete(key);
    this.#forgottenMs = Math.max(this.#forgottenMs, untilMs);
    if (client === null) return;
    const left = (this.#counts.get(client) ?? 1) - 1;
    if (left > 0) this.#counts.set(client, left);
    else this.#counts.delete(client);
  }
}
