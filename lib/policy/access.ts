// Who may open what from where. Looked at after a knock proved who it is.

import {
  formatAddress,
  formatPrefix,
  isLoopback,
  isUnicastSource,
  parsePrefix,
  prefixContains,
  type Address,
  type Prefix,
} from '../address.ts';
import { printable } from '../errors.ts';
import type { KnockRequest, RejectReason } from '../scheme/scheme.ts';

/** A client, the services it may open, and for whom. */
export interface ClientAccess {
  readonly name: string;
  readonly services: readonly string[];
  /**
   * What its knocks must say of their source: nothing (`observed`, the default, takes all), a prefix that holds it, or
   * exactly its address. A knock that says more than it must is held to what it says.
   */
  readonly bind?: 'observed' | 'prefix' | 'exact';
  /** The widest prefixes that a knock may open a port to, as lengths; /24 and /56 unless said. */
  readonly widestPrefix?: readonly [ipv4: number, ipv6: number];
  /** Unix milliseconds from which on its knocks are refused. */
  readonly expiresAt?: number;
  /** Where its knocks may come from, each an `ADDRESS` or `ADDRESS/LENGTH`; anywhere unless said. */
  readonly from?: readonly string[];
}

/** `source`: whom to open for, an address or a prefix. */
export type Verdict =
  | { readonly granted: true; readonly services: readonly string[]; readonly source: string }
  | { readonly granted: false; readonly reason: RejectReason };

/** What is decided on. */
export interface AccessQuestion {
  readonly request: Pick<KnockRequest, 'client' | 'services' | 'claim' | 'elsewhere'>;
  readonly source: Address;
  readonly timeMs: number;
}

const WIDEST = [24, 56] as const;

export interface AccessOptions {
  readonly clients: readonly ClientAccess[];
  /** Whether a loopback source can be real (capture on `lo`, a socket on 127.0.0.1). */
  readonly loopback: boolean;
  /** Whether an address is the gateway's own. */
  readonly isOwn: (address: Address) => boolean;
}

/** The policy. */
export class Access {
  readonly #clients: ReadonlyMap<string, ClientAccess>;
  /** Of the clients that may not knock from anywhere. */
  readonly #from: ReadonlyMap<string, readonly Prefix[]>;
  readonly #loopback: boolean;
  readonly #isOwn: (address: Address) => boolean;

  /** @throws TypeError for a `from` that is no address and no prefix */
  constructor({ clients, loopback, isOwn }: AccessOptions) {
    this.#clients = new Map(clients.map((client) => [client.name, client]));
    this.#from = new Map(
      clients.flatMap(({ name, from }) =>
        from === undefined ? [] : [[name, from.map((text) => prefixOf(name, text))] as const],
      ),
    );
    this.#loopback = loopback;
    this.#isOwn = isOwn;
  }

  /** Decides on a knock; no services named means all that the client may open. */
  authorize({ request, source, timeMs }: AccessQuestion): Verdict {
    const client = this.#clients.get(request.client);
    if (client === undefined) return refused('client-unknown');
    if (timeMs >= (client.expiresAt ?? Number.POSITIVE_INFINITY)) return refused('client-expired');
    if (!this.#canHoldGrant(source) || !this.#mayKnockFrom(source, client)) return refused('source-refused');
    const { claim, elsewhere = false } = request;
    if (elsewhere && claim !== undefined && !this.#canHoldGrant(claim.address)) {
      return refused('source-refused');
    }
    const holds = elsewhere && claim !== undefined ? claim.address : source;
    const reason = claim === undefined ? unclaimed(client) : claimFault(client, holds, claim);
    if (reason !== null) return refused(reason);
    const services = [...new Set(request.services ?? client.services)];
    if (services.length === 0 || services.some((service) => !client.services.includes(service))) {
      return refused('service-refused');
    }
    const opensFor = claim === undefined ? formatAddress(source) : formatPrefix(claim);
    return { granted: true, services, source: opensFor };
  }

  /** Whether the client may still open the service. */
  allows(client: string, service: string): boolean {
    return this.#clients.get(client)?.services.includes(service) ?? false;
  }

  #mayKnockFrom(source: Address, { name }: ClientAccess): boolean {
    return this.#from.get(name)?.some((prefix) => prefixContains(prefix, source)) ?? true;
  }

  #canHoldGrant(source: Address): boolean {
    if (isLoopback(source)) return this.#loopback;
    return isUnicastSource(source) && !this.#isOwn(source);
  }
}

function prefixOf(client: string, text: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix !== null) return prefix;
  throw new TypeError(
    `from of client ${printable(client)} must hold addresses or prefixes, got '${printable(text)}'`,
  );
}

function unclaimed({ bind = 'observed' }: ClientAccess): RejectReason | null {
  return bind === 'observed' ? null : 'bind-refused';
}

function claimFault(client: ClientAccess, source: Address, claim: Prefix): RejectReason | null {
  const { bind = 'observed', widestPrefix: [widest4, widest6] = WIDEST } = client;
  const isAddress = claim.length === (claim.address.family === 4 ? 32 : 128);
  if (bind === 'exact' && !isAddress) return 'bind-refused';
  if (claim.length < (claim.address.family === 4 ? widest4 : widest6)) return 'prefix-too-wide';
  return prefixContains(claim, source) ? null : 'source-mismatch';
}

function refused(reason: RejectReason): Verdict {
  return { granted: false, reason };
}
