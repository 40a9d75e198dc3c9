// The firewall as the verifying half has it: it asks the half with root.

import type { DriverContext, FirewallDriver, Grant, Opening, Service } from '../firewall/driver.ts';
import { MOST_HELD_AT_ONCE } from './messages.ts';

/** What of a request is not its number. */
export type Asked =
  | { readonly kind: 'open' | 'close'; readonly grant: Grant }
  | { readonly kind: 'hold'; readonly grants: readonly Grant[] }
  | { readonly kind: 'list' | 'setup' | 'reload' }
  | { readonly kind: 'capture'; readonly filter: string }
  | { readonly kind: 'mark'; readonly account: string };

/** Asks; resolves to the answer. @throws what the other half threw */
export type Ask = (asked: Asked) => Promise<unknown>;

/** A driver that stands for `like`, which is only asked what it is. */
export class RemoteDriver implements FirewallDriver {
  readonly name: string;
  readonly real: boolean;
  readonly endsByItself: boolean;
  readonly #ask: Ask;
  readonly #listen: (warning: (message: string) => void) => void;

  constructor(
    like: Pick<FirewallDriver, 'name' | 'real' | 'endsByItself'>,
    { ask, listen }: { readonly ask: Ask; readonly listen: (warning: (message: string) => void) => void },
  ) {
    this.name = like.name;
    this.real = like.real;
    this.endsByItself = like.endsByItself !== false;
    this.#ask = ask;
    this.#listen = listen;
  }

  /** The other half takes the services from the configuration that it has read itself. */
  async setup(_services: readonly Service[], { warning, held = [] }: DriverContext): Promise<void> {
    for (let from = 0; from < held.length; from += MOST_HELD_AT_ONCE) {
      await this.#ask({ kind: 'hold', grants: held.slice(from, from + MOST_HELD_AT_ONCE) });
    }
    for (const message of (await this.#ask({ kind: 'setup' })) as readonly string[]) warning(message);
    this.#listen(warning);
  }

  async open(grant: Grant): Promise<void> {
    await this.#ask({ kind: 'open', grant });
  }

  async close(grant: Grant): Promise<void> {
    await this.#ask({ kind: 'close', grant });
  }

  async list(): Promise<readonly Opening[]> {
    return (await this.#ask({ kind: 'list' })) as readonly Opening[];
  }

  /** Nobody who reads packets takes rules away. */
  teardown(): Promise<void> {
    return Promise.reject(new Error('teardown is for portknockd --teardown'));
  }
}
