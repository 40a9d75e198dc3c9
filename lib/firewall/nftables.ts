// The nftables driver: a table of its own for both families. Rules are set in one transaction, at set-up and when a
// service is first opened to prefixes of some length; grants are elements of kernel sets that carry their own end, so
// they end on time whatever happens here. Changes that wait together are one transaction of one long-lived `nft -i`.

import { firstAddress, formatAddress, parsePrefix } from '../address.ts';
import { KnockError, messageOf, printable } from '../errors.ts';
import {
  isSameService,
  LINGER_MS,
  type DriverContext,
  type FirewallDriver,
  type Grant,
  type Opening,
  type Service,
} from './driver.ts';
import { getsTo, requireFamily } from './forward.ts';
import { trackingWarning } from './iptables-host.ts';
import { Adoption } from './nftables-adopt.ts';
import { lookAround, removeTable, requireExpressible, setTable, type NftPlan } from './nftables-change.ts';
import { NftGrants } from './nftables-grants.ts';
import { placeOf, type NftablesOptions, type NftPlace } from './nftables-options.ts';
import { groupOf, type Change, type Group } from './nftables-sets.ts';
import { Turns } from './nftables-turns.ts';
import { readSource } from './source.ts';
import { isSameWidth, widthOf, type Widths } from './width.ts';

/** More than any element of ours outlives its grant's time and its service's. */
const TRACE_GRACE_MS = 10_000;

/**
 * The nftables driver. Needs root, or CAP_NET_ADMIN in a user namespace, and nft 1.0 or later.
 *
 * @throws RangeError for a `chain` or `forwardChain` that is none
 */
export function nftables(options: NftablesOptions = {}): FirewallDriver {
  return new NftablesDriver(placeOf(options));
}

interface Open {
  readonly service: string;
  readonly source: string;
  readonly group: Group;
  readonly address: string;
  /** When it leaves list(), on the monotonic clock. */
  readonly lapse: number;
}

interface Wanted {
  readonly grant: Grant;
  readonly closes: boolean;
}

class NftablesDriver implements FirewallDriver {
  readonly name = 'nftables';
  readonly real = true;
  readonly #place: NftPlace;
  readonly #grants = new NftGrants();
  readonly #turns = new Turns<Wanted>((wanted) => this.#change(wanted));
  /** By service and source. */
  readonly #open = new Map<string, Open>();
  /** By service and source, when the kernel holds nothing of it any more, on the monotonic clock. */
  readonly #traces = new Map<string, number>();
  #plan: NftPlan | null = null;

  constructor(place: NftPlace) {
    this.#place = place;
  }

  setup(services: readonly Service[], context: DriverContext): Promise<void> {
    return this.#turns.alone(() => this.#setup(services, context));
  }

  open(grant: Grant): Promise<void> {
    return this.#turns.change(keyOf(grant), { grant, closes: false });
  }

  close(grant: Grant): Promise<void> {
    return this.#turns.change(keyOf(grant), { grant, closes: true });
  }

  list(): Promise<readonly Opening[]> {
    return this.#turns.alone(() => this.#list());
  }

  teardown(): Promise<void> {
    return this.#turns.alone(async () => {
      await removeTable();
      this.#grants.close();
      this.#open.clear();
      this.#plan = null;
    });
  }

  async #setup(services: readonly Service[], { warning, held = [] }: DriverContext): Promise<void> {
    for (const service of services) requireExpressible(service);
    this.#grants.tell(warning);
    const earlier = this.#plan;
    const stays = (service: Service): boolean => isSameService(earlier?.services.get(service.name), service);
    const shut = await lookAround({ ...this.#place, services, warning });
    const adoption = new Adoption(earlier === null ? held : [], services);
    const plan: NftPlan = {
      ...this.#place,
      shut,
      services: new Map(services.map((service) => [service.name, service])),
      widths: new Map(
        services.map((service) => [
          service.name,
          stays(service) ? (earlier?.widths.get(service.name) ?? []) : adoption.widthsOf(service),
        ]),
      ),
    };
    const keeps = earlier === null ? adoption.names : services.filter(stays).map(({ name }) => name);
    await setTable(plan, new Set(keeps));
    this.#plan = plan;
    for (const [key, { service }] of [...this.#open]) {
      if (!services.some((one) => one.name === service && stays(one))) this.#open.delete(key);
    }
    const adopted = await adoption.finish(this.#grants, plan.widths).catch(async (error: unknown) => {
      warning(`openings of an earlier run are not taken over: ${messageOf(error)} (knock again)`);
      await setTable(plan, new Set());
      return [];
    });
    for (const { grant, group, address } of adopted) {
      this.#isFirst(grant, group.service);
      this.#open.set(keyOf(grant), opened(grant, { group, address }));
    }
    const liberal = trackingWarning();
    if (liberal !== null) warning(liberal);
  }

  /** What went wrong with each, or `null`. */
  async #change(wanted: readonly Wanted[]): Promise<readonly (Error | null)[]> {
    const faults: (Error | null)[] = [];
    const changes: { readonly at: number; readonly change: Change }[] = [];
    for (const [at, one] of wanted.entries()) {
      try {
        const change = await this.#prepare(one);
        if (change !== null) changes.push({ at, change });
        faults.push(null);
      } catch (error) {
        faults.push(error instanceof Error ? error : new Error(messageOf(error)));
      }
    }
    const results = await this.#grants.apply(changes.map(({ change }) => change));
    for (const [i, { at, change }] of changes.entries()) {
      const fault = results[i] ?? null;
      const { grant } = wanted[at] as Wanted;
      faults[at] = fault;
      // What failed is not open, and what it was to replace went with it.
      if (fault !== null || change.until === null) this.#open.delete(keyOf(grant));
      else {
        const address = formatAddress(firstAddress(change.source));
        this.#open.set(keyOf(grant), opened(grant, { group: groupOf(change), address }));
      }
    }
    return faults;
  }

  /** `null`: nothing to change. */
  async #prepare({ grant, closes }: Wanted): Promise<Change | null> {
    const source = closes ? parsePrefix(grant.source) : readSource(this.name, grant.source);
    const plan = this.#plan;
    const service = plan?.services.get(grant.service);
    if (source === null) return null;
    if (plan === null || service?.port !== grant.port || service.protocol !== grant.protocol) {
      if (closes) return null;
      const wanted = `${printable(grant.service)} on ${grant.port}/${grant.protocol}`;
      throw new KnockError(
        'ERR_FIREWALL_UNSUPPORTED',
        `nftables: no such service was set up: ${wanted} (call setup first)`,
      );
    }
    if (closes && !getsTo(service, source)) return null;
    requireFamily(this.name, service, source);
    const until = closes || grant.openUntil <= Date.now() ? null : grant.openUntil;
    const width = widthOf(source);
    const widths = plan.widths.get(service.name) ?? [];
    if (width !== null && !widths.some((one) => isSameWidth(one, width))) {
      if (until === null) return null;
      await this.#widen(plan, new Map([...plan.widths, [service.name, [...widths, width]]]));
    }
    const { connections: most } = service;
    const connections =
      grant.connections === 'unlimited' || most === 'unlimited' ? most : Math.min(grant.connections, most);
    const isNew = this.#isFirst(grant, service) && until !== null;
    return { service, source, connections, until, isNew };
  }

  /** Whether nothing can be left in the kernel of an earlier grant for the same. */
  #isFirst(grant: Grant, { openForMs }: Service): boolean {
    const now = performance.now();
    for (const [old, until] of this.#traces) {
      if (until > now) break;
      this.#traces.delete(old);
    }
    const key = keyOf(grant);
    const isFirst = !this.#traces.has(key);
    this.#traces.delete(key);
    const leftMs = Math.max(0, grant.openUntil - Date.now());
    this.#traces.set(key, now + leftMs + openForMs + TRACE_GRACE_MS);
    return isFirst;
  }

  /** Rules and sets for prefixes of a new length. */
  async #widen(earlier: NftPlan, widths: Widths): Promise<void> {
    const plan = { ...earlier, widths };
    await setTable(plan, new Set(plan.services.keys()));
    this.#plan = plan;
  }

  async #list(): Promise<readonly Opening[]> {
    for (const [key, { lapse }] of [...this.#open]) if (lapse <= performance.now()) this.#open.delete(key);
    const asked = [...this.#open.values()].map(({ group }) => group);
    const spent = await this.#grants.spent(asked);
    for (const [key, { group, address }] of [...this.#open])
      if (spent(group, address)) this.#open.delete(key);
    return [...this.#open.values()].map(({ service, source }) => ({ service, source }));
  }
}

function opened({ service, source, openUntil }: Grant, place: Pick<Open, 'group' | 'address'>): Open {
  return { service, source, ...place, lapse: performance.now() + openUntil - Date.now() + LINGER_MS };
}

function keyOf({ service, source }: Opening): string {
  return `${service} ${source}`;
}
