// Who may open what from where. Looked at after a knock proved who it is.

import { isLoopback, isUnicastSource, type Address } from '../address.ts';
import type { RejectReason } from '../scheme/scheme.ts';

/** A client and the services it may open. */
export interface ClientAccess {
  readonly name: string;
  readonly services: readonly string[];
}

export type Verdict =
  | { readonly granted: true; readonly services: readonly string[] }
  | { readonly granted: false; readonly reason: RejectReason };

export interface AccessOptions {
  readonly clients: readonly ClientAccess[];
  /** Whether a loopback source can be real (capture on `lo`, a socket on 127.0.0.1). */
  readonly loopback: boolean;
  /** Whether an address is the gateway's own. */
  readonly isOwn: (address: Address) => boolean;
}

/** The policy. */
export class Access {
  readonly #services: ReadonlyMap<string, readonly string[]>;
  readonly #loopback: boolean;
  readonly #isOwn: (address: Address) => boolean;

  constructor({ clients, loopback, isOwn }: AccessOptions) {
    this.#services = new Map(clients.map(({ name, services }) => [name, [...new Set(services)]]));
    this.#loopback = loopback;
    this.#isOwn = isOwn;
  }

  /** Decides on a knock from `source`; `wanted` null means all that the client may open. */
  authorize(client: string, source: Address, wanted: readonly string[] | null): Verdict {
    const allowed = this.#services.get(client);
    if (allowed === undefined) return { granted: false, reason: 'client-unknown' };
    if (!this.#canHoldGrant(source)) return { granted: false, reason: 'source-refused' };
    const services = wanted ?? allowed;
    if (services.length === 0 || services.some((service) => !allowed.includes(service))) {
      return { granted: false, reason: 'service-refused' };
    }
    return { granted: true, services };
  }

  #canHoldGrant(source: Address): boolean {
    if (isLoopback(source)) return this.#loopback;
    return isUnicastSource(source) && !this.#isOwn(source);
  }
}
