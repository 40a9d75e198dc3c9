// The iptables driver (legacy and nft back-ends, IPv4 and IPv6). Rules are set in one transaction per family, at set-up
// and when a service is first opened to prefixes of some length; a grant is a write to a kernel list, so granting starts
// no process, and its end is the kernel's own. The kernel counts the service's openForMs, in whole seconds: a grant that
// is to end earlier ends by close(), or by the service's time if nobody is left to call it.

import { firstAddress, formatAddress, parsePrefix } from '../address.ts';
import { KnockError, printable } from '../errors.ts';
import { adoptable, widthsIn } from './adoptable.ts';
import {
  isSameService,
  LINGER_MS,
  type DriverContext,
  type FirewallDriver,
  type Grant,
  type Opening,
  type Service,
} from './driver.ts';
import { forwardingWarnings, requireFamily } from './forward.ts';
import { adopt } from './iptables-adopt.ts';
import { putInForce, requireExpressible, type Protect } from './iptables-change.ts';
import { findBackend, readAllFilters, tablesOf, trackingWarning, type Backend } from './iptables-host.ts';
import { gateOf, listsOf } from './iptables-lists.ts';
import { removeRules } from './iptables-made.ts';
import { hasWidth, sourcesIn, type Plan } from './iptables-plan.ts';
import { ListRoom } from './iptables-room.ts';
import { kernelLists } from './recent.ts';
import { readSource } from './source.ts';
import { widthOf, type Width } from './width.ts';

/** {@link iptables}'s options. */
export interface IptablesOptions {
  /** Which iptables; `auto` takes the one whose rules decide on this host. */
  readonly backend?: 'auto' | Backend;
  /**
   * What strangers get at a protected port: `true`, what the host's other closed ports give; `drop`; `reject`, a TCP
   * reset or ICMP port unreachable; `false`, whatever your own rules do.
   */
  readonly protect?: Protect;
}

/** How long another program may hold the lock of the tables: at a start, at a reload, and while knocks wait. */
const START_LOCK_SECONDS = 30;
const RELOAD_LOCK_SECONDS = 5;
const GRANT_LOCK_SECONDS = 1;
/** The kernel counts an opening's time from when it is made, so that one made late would end late. */
const LATE_MS = 2500;

/** The iptables driver. Needs root, or CAP_NET_ADMIN in a user namespace. */
export function iptables(options: IptablesOptions = {}): FirewallDriver {
  return new IptablesDriver(options);
}

class IptablesDriver implements FirewallDriver {
  readonly name = 'iptables';
  readonly real = true;
  readonly #options: IptablesOptions;
  #plan: Plan | null = null;
  readonly #room = new ListRoom();
  /** By service and source, when an opening leaves list(), on the monotonic clock. */
  readonly #lapses = new Map<string, Map<string, number>>();
  /** A call changes rules and lists in several steps, so it waits for the one before. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor(options: IptablesOptions) {
    this.#options = options;
  }

  setup(services: readonly Service[], context: DriverContext): Promise<void> {
    return this.#inTurn(() => this.#setup(services, context));
  }

  open(grant: Grant): Promise<void> {
    const asked = performance.now();
    return this.#inTurn(() => this.#open(grant, asked));
  }

  close(grant: Grant): Promise<void> {
    return this.#inTurn(() => this.#close(grant));
  }

  list(): Promise<readonly Opening[]> {
    return this.#inTurn(() => this.#list());
  }

  teardown(): Promise<void> {
    return this.#inTurn(() => this.#teardown());
  }

  async #setup(services: readonly Service[], { warning, held = [] }: DriverContext): Promise<void> {
    for (const service of services) requireExpressible(service);
    const earlier = this.#plan;
    const { backend = 'auto', protect = true } = this.#options;
    const stays = (service: Service): boolean => isSameService(earlier?.services.get(service.name), service);
    const families = earlier?.families ?? tablesOf(backend === 'auto' ? await findBackend(warning) : backend);
    const lists = earlier?.lists ?? (await kernelLists());
    const live = earlier === null ? adoptable(held, services) : [];
    const plan: Plan = {
      ...{ families, protect, lists, warning },
      services: new Map(services.map((service) => [service.name, service])),
      widths: new Map(
        services.map((service) => [
          service.name,
          stays(service) ? (earlier?.widths.get(service.name) ?? []) : widthsIn(live, service),
        ]),
      ),
    };
    const isFresh = (service: Service): boolean =>
      !stays(service) && live.every(({ grant }) => grant.service !== service.name);
    const fresh = services.filter(isFresh).flatMap((service) => listsOf(service));
    try {
      await putInForce(plan, {
        ...{ earlier, fresh },
        lockSeconds: earlier === null ? START_LOCK_SECONDS : RELOAD_LOCK_SECONDS,
        afterwards: async () => {
          for (const grant of await adopt(plan, live)) this.#note(grant);
        },
      });
    } catch (error) {
      if (earlier === null) await lists.close();
      throw error;
    }
    this.#plan = plan;
    this.#room.reset(lists.limit());
    for (const name of [...this.#lapses.keys()]) {
      if (!services.some((service) => service.name === name && !isFresh(service))) this.#lapses.delete(name);
    }
    for (const line of [trackingWarning(), ...forwardingWarnings(services)]) if (line !== null) warning(line);
  }

  async #open(grant: Grant, asked: number): Promise<void> {
    const source = readSource(this.name, grant.source);
    const width = widthOf(source);
    const { plan, service } = this.#prepared(grant);
    requireFamily(this.name, service, source);
    requireSoon(asked);
    // The kernel would give it the service's whole time.
    if (grant.openUntil <= Date.now()) return this.#close(grant);
    const { lists } = await this.#withWidth(plan, service, width);
    requireSoon(asked);
    if (grant.openUntil <= Date.now()) return this.#close(grant);
    const names = listsOf(service, width);
    const wanted = grant.connections === 'unlimited' ? names : names.slice(-grant.connections);
    const address = formatAddress(firstAddress(source));
    const isPart = wanted.length < names.length;
    const isKnown = await this.#room.make(lists, {
      service: service.name,
      gate: gateOf(names),
      address,
      isPart,
    });
    // A replaced grant must not add its unspent connections to those of the new one.
    if (isPart && isKnown) await this.#close(grant);
    // The last list is the gate that admits SYNs, so it comes last.
    for (const list of wanted) await lists.add(list, address);
    this.#note(grant);
  }

  #note({ service, source, openUntil }: Grant): void {
    const lapses = this.#lapses.get(service) ?? new Map<string, number>();
    this.#lapses.set(service, lapses);
    lapses.set(source, performance.now() + openUntil - Date.now() + LINGER_MS);
  }

  async #close(grant: Grant): Promise<void> {
    const source = parsePrefix(grant.source);
    const plan = this.#plan;
    const service = plan?.services.get(grant.service);
    if (source === null || plan === null || service === undefined) return;
    const width = widthOf(source);
    if (!hasWidth(plan, service, width)) return;
    const address = formatAddress(firstAddress(source));
    // The gate first: whatever fails after it, no new connection begins.
    for (const list of listsOf(service, width).toReversed()) await plan.lists.remove(list, address);
    this.#lapses.get(service.name)?.delete(grant.source);
  }

  async #list(): Promise<readonly Opening[]> {
    const plan = this.#plan;
    const openings: Opening[] = [];
    for (const service of plan?.services.values() ?? []) {
      const lapses = this.#lapses.get(service.name);
      if (plan === null || lapses === undefined || lapses.size === 0) continue;
      const sources = new Set(await sourcesIn(plan, service));
      for (const [source, lapse] of [...lapses]) {
        // The kernel keeps an entry after its time, though it admits nobody by it.
        if (sources.has(source) && lapse > performance.now())
          openings.push({ service: service.name, source });
        else lapses.delete(source);
      }
    }
    return openings;
  }

  async #teardown(): Promise<void> {
    const patience = { lockSeconds: START_LOCK_SECONDS, warning: this.#plan?.warning ?? (() => undefined) };
    for (const [tables, state] of await readAllFilters()) await removeRules(tables, state, patience);
    this.#lapses.clear();
    await this.#plan?.lists.close();
    this.#plan = null;
  }

  /** Rules and lists for grants of this width, made when the first one comes. */
  async #withWidth(earlier: Plan, service: Service, width: Width | null): Promise<Plan> {
    if (width === null || hasWidth(earlier, service, width)) return earlier;
    const families = earlier.families.filter(({ family }) => family === width.family);
    if (families.length === 0) {
      throw new KnockError('ERR_FIREWALL_UNSUPPORTED', `this host does not speak IPv${width.family}`);
    }
    const widths = [...(earlier.widths.get(service.name) ?? []), width];
    const plan = { ...earlier, widths: new Map([...earlier.widths, [service.name, widths]]) };
    const lockSeconds = GRANT_LOCK_SECONDS;
    await putInForce(plan, { earlier, families, fresh: listsOf(service, width), lockSeconds });
    this.#plan = plan;
    return plan;
  }

  #prepared(grant: Grant): { plan: Plan; service: Service } {
    const plan = this.#plan;
    const service = plan?.services.get(grant.service);
    if (plan !== null && service?.port === grant.port && service.protocol === grant.protocol)
      return { plan, service };
    const wanted = `${printable(grant.service)} on ${grant.port}/${grant.protocol}`;
    throw new KnockError(
      'ERR_FIREWALL_UNSUPPORTED',
      `iptables: no such service was set up: ${wanted} (call setup first)`,
    );
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(run);
    this.#queue = turn.catch(() => undefined);
    return turn;
  }
}

function requireSoon(asked: number): void {
  const ms = Math.round(performance.now() - asked);
  if (ms <= LATE_MS) return;
  throw new KnockError(
    'ERR_FIREWALL_COMMAND',
    `iptables took ${ms} ms, so that the opening would have ended late (knock again)`,
  );
}
