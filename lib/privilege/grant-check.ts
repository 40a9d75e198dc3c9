// Whether a grant is one that a knock could have brought about: what the policy said of the knock is asked again of the
// grant, by the configuration that root has read.

import {
  firstAddress,
  isWholeAddress,
  parsePrefix,
  prefixContains,
  type Address,
  type Prefix,
} from '../address.ts';
import type { Clock } from '../clock.ts';
import { isGrantOf, type Grant, type Service } from '../firewall/driver.ts';
import { familyOf } from '../firewall/forward.ts';
import { Access } from '../policy/access.ts';
import { LocalAddresses } from '../policy/local.ts';
import type { GuardRules } from './rules.ts';

/** Why a grant is refused: words of ours, never of the asker's. */
export type GrantFault = string;

/** What a grant may last longer than its service's time: it was made a moment ago. */
const QUEUED_MS = 1000;

/** Checks grants by one set of rules. */
export class GrantCheck {
  readonly #services: ReadonlyMap<string, Service>;
  readonly #clock: Clock;
  readonly #access: Access;
  readonly #rules: GuardRules;
  /** Where each client may knock from, and whom its knocks may name. */
  readonly #places: ReadonlyMap<string, readonly Prefix[]>;

  constructor(rules: GuardRules, clock: Clock, local = new LocalAddresses(clock)) {
    const { clients, services, source } = rules;
    this.#rules = rules;
    this.#clock = clock;
    this.#services = new Map(services.map((service) => [service.name, service]));
    this.#access = new Access({
      // Where a knock came from is not known here: its places are looked at below.
      clients: clients.map(({ from: _, ...client }) => client),
      loopback: source.loopback,
      isOwn: (address) => source.checksDestination && local.has(address),
    });
    this.#places = new Map(
      clients.flatMap(({ name, from }) =>
        from === undefined ? [] : [[name, from.flatMap((text) => parsePrefix(text) ?? [])] as const],
      ),
    );
  }

  /** What is wrong with opening it now; `null` when nothing is. */
  fault(grant: Grant): GrantFault | null {
    const service = this.#services.get(grant.service);
    const serviceFault = faultOfService(grant, service);
    if (service === undefined || serviceFault !== null) return serviceFault;
    const nowMs = this.#clock.now();
    if (grant.openUntil > nowMs + service.openForMs + QUEUED_MS)
      return 'lasts longer than its service allows';
    const source = parsePrefix(grant.source);
    if (source === null) return 'has no source';
    const family = familyOf(service);
    if (family !== null && family !== source.address.family)
      return 'is for another family than where it leads';
    return this.#faultOfClient(grant, source, nowMs);
  }

  /** Whether the service is configured just so, whoever may open it. */
  knows(grant: Grant): boolean {
    return faultOfService(grant, this.#services.get(grant.service)) === null;
  }

  #faultOfClient({ client, service }: Grant, claim: Prefix, timeMs: number): GrantFault | null {
    const request = { client, services: [service], claim };
    let reason = '';
    for (const source of addressesIn(claim)) {
      const verdict = this.#access.authorize({ request, source, timeMs });
      if (verdict.granted) return this.#mayBeFor(client, claim) ? null : 'is outside what its client may use';
      reason ||= verdict.reason;
    }
    return `is refused by the policy (${reason})`;
  }

  /** A knock comes from within what it opens, unless its client may name other addresses. */
  #mayBeFor(client: string, claim: Prefix): boolean {
    const from = this.#places.get(client);
    if (from === undefined) return true;
    if (from.some((place) => overlaps(place, claim))) return true;
    const named = this.#rules.elsewhere.get(client) ?? [];
    return isWholeAddress(claim) && named.some((place) => prefixContains(place, claim.address));
  }
}

function faultOfService(grant: Grant, service: Service | undefined): GrantFault | null {
  if (service === undefined) return 'is for no configured service';
  return isGrantOf(grant, service) ? null : 'is not as its service is configured';
}

/** Two that the knock may have come from: the first of a prefix may be the gateway's own. */
function addressesIn(prefix: Prefix): readonly Address[] {
  const first = firstAddress(prefix);
  if (isWholeAddress(prefix)) return [first];
  const [a, b, c, d] = first.words;
  return [first, { ...first, words: [a, b, c, d | 1] }];
}

function overlaps(one: Prefix, other: Prefix): boolean {
  return prefixContains(one, other.address) || prefixContains(other, one.address);
}
