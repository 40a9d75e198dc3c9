// The books: which grants are open as far as we know.

import type { Grant, Opening } from '../firewall/driver.ts';
import { keyOf } from './request.ts';

/** An open grant, and its timer. */
export interface Held {
  readonly grant: Grant;
  readonly cancel: () => void;
  /** Unix milliseconds at which the firewall has ended it by itself at the latest; `Infinity` if it never does. */
  readonly lastsUntil: number;
  /** Only to be closed any more: that it is gone then does not mean that it was used. */
  readonly isOver: boolean;
}

/**
 * By service and source text: the kernel knows only these, so there is one grant for both at a time. A grant for a
 * prefix and one for an address in it are two; the driver spends the address's first, and lists what is left.
 */
export class HeldGrants {
  readonly #held = new Map<string, Held>();

  get all(): readonly Held[] {
    return [...this.#held.values()];
  }

  get isEmpty(): boolean {
    return this.#held.size === 0;
  }

  /** The grant for a service and source. */
  for(opening: Opening): Held | undefined {
    return this.#held.get(keyOf(opening));
  }

  byId(id: string): Held | undefined {
    return this.all.find(({ grant }) => grant.id === id);
  }

  /** Whether it has neither ended nor been replaced. */
  has(held: Held): boolean {
    return this.for(held.grant) === held;
  }

  /** Enters one; what it takes the place of. */
  put(held: Held): Held | undefined {
    const earlier = this.for(held.grant);
    earlier?.cancel();
    this.#held.set(keyOf(held.grant), held);
    return earlier;
  }

  remove(held: Held): void {
    held.cancel();
    if (this.has(held)) this.#held.delete(keyOf(held.grant));
  }

  /** Forgets the timers; whoever changes one now still finds it. */
  rest(): void {
    for (const { cancel } of this.all) cancel();
  }

  clear(): void {
    this.#held.clear();
  }
}
