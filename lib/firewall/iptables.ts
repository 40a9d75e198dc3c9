// The iptables driver (legacy and nft back-ends, IPv4 and IPv6). Rules are set once, in one transaction per family;
// a grant is a write to a kernel list, so granting starts no process, and its end is the kernel's own.

import { KnockError } from '../errors.ts';
import {
  LINGER_MS,
  type DriverContext,
  type FirewallDriver,
  type Grant,
  type Opening,
  type Service,
} from './driver.ts';
import {
  changeFilter,
  closedPortLooks,
  findBackend,
  readAllFilters,
  readFilter,
  tablesOf,
  trackingWarning,
  type Backend,
  type FilterState,
  type Tables,
} from './iptables-host.ts';
import { listsOf, MAIN, MOST_CONNECTIONS, setupText, teardownText, type Shut } from './iptables-rules.ts';
import { livePeers, type LivePeer } from './live-peers.ts';
import type { RecentLists } from './recent-file.ts';
import { kernelLists } from './recent.ts';

/** {@link iptables}'s options. */
export interface IptablesOptions {
  /** Which iptables; `auto` takes the one whose rules decide on this host. */
  readonly backend?: 'auto' | Backend;
  /**
   * What strangers get at a protected port: `true`, what the host's other closed ports give; `drop`; `reject`, a TCP
   * reset or ICMP port unreachable; `false`, whatever your own rules do.
   */
  readonly protect?: boolean | 'drop' | 'reject';
}

/** The iptables driver. Needs root, or CAP_NET_ADMIN in a user namespace. */
export function iptables(options: IptablesOptions = {}): FirewallDriver {
  return new IptablesDriver(options);
}

class IptablesDriver implements FirewallDriver {
  readonly name = 'iptables';
  readonly real = true;
  readonly #options: IptablesOptions;
  #services: ReadonlyMap<string, Service> = new Map();
  #lists: RecentLists | null = null;
  /** When an opening leaves list(), on the monotonic clock. */
  readonly #lapses = new Map<string, number>();

  constructor(options: IptablesOptions) {
    this.#options = options;
  }

  async setup(services: readonly Service[], { warning }: DriverContext): Promise<void> {
    for (const service of services) requireExpressible(service);
    const { backend = 'auto' } = this.#options;
    const families = tablesOf(backend === 'auto' ? await findBackend(warning) : backend);
    const peers = await livePeers(new Set(services.map(({ port }) => port)));
    const lists = await kernelLists(services.flatMap(listsOf));
    const before = new Map<Tables, FilterState>();
    for (const tables of families) before.set(tables, await readFilter(tables));
    const changed: Tables[] = [];
    try {
      for (const [tables, state] of before) {
        changed.push(tables);
        await this.#setFamily(tables, state, services, peers, lists);
      }
      // What an earlier run left open would have no end that we know of.
      for (const list of services.flatMap(listsOf)) await lists.clear(list);
    } catch (error) {
      await this.#undo(changed, before);
      await lists.close();
      throw error;
    }
    this.#lapses.clear();
    const liberal = trackingWarning();
    if (liberal !== null) warning(liberal);
    await this.#lists?.close();
    this.#lists = lists;
    this.#services = new Map(services.map((service) => [service.name, service]));
  }

  async open(grant: Grant): Promise<void> {
    const { service, lists } = this.#prepared(grant);
    const names = listsOf(service);
    const wanted = grant.connections === 'unlimited' ? names : names.slice(-grant.connections);
    const gate = names.at(-1) ?? '';
    const held = await lists.read(gate);
    const limit = lists.limit();
    if (held.length >= limit && !held.includes(grant.source)) {
      throw new KnockError(
        'ERR_FIREWALL_FULL',
        `service ${service.name} has ${held.length} open grants, the kernel's list holds no more (raise xt_recent's ip_list_tot)`,
      );
    }
    // A replaced grant must not add its unspent connections to those of the new one.
    if (wanted.length < names.length && held.includes(grant.source)) await this.close(grant);
    // The last list is the gate that admits SYNs, so it comes last.
    for (const name of wanted) await lists.add(name, grant.source);
    this.#lapses.set(keyOf(grant), performance.now() + grant.openUntil - Date.now() + LINGER_MS);
  }

  async close(grant: Grant): Promise<void> {
    const { service, lists } = this.#prepared(grant);
    // The gate first: whatever fails after it, no new connection begins.
    for (const name of listsOf(service).toReversed()) await lists.remove(name, grant.source);
    this.#lapses.delete(keyOf(grant));
  }

  async list(): Promise<readonly Opening[]> {
    const openings: Opening[] = [];
    for (const service of this.#services.values()) {
      const sources = await this.#lists?.read(listsOf(service).at(-1) ?? '');
      for (const source of sources ?? []) openings.push({ service: service.name, source });
    }
    // The kernel keeps an entry after its time, though it admits nobody by it.
    return openings.filter((opening) => (this.#lapses.get(keyOf(opening)) ?? 0) > performance.now());
  }

  async teardown(): Promise<void> {
    for (const [tables, state] of await readAllFilters()) await removeRules(tables, state);
    this.#lapses.clear();
    await this.#lists?.close();
    this.#lists = null;
    this.#services = new Map();
  }

  async #setFamily(
    tables: Tables,
    state: FilterState,
    services: readonly Service[],
    peers: readonly LivePeer[],
    lists: RecentLists,
  ): Promise<void> {
    const { family } = tables;
    const text = setupText({
      services,
      peers: peers.filter((peer) => peer.family === family),
      shut: { tcp: this.#shut(state.text, 'tcp'), udp: this.#shut(state.text, 'udp') },
      present: state.present,
      jumps: state.jumps,
      extra: lists.rules(family),
    });
    await changeFilter(tables, text);
    const after = await readFilter(tables);
    if (!comesFirst(after)) {
      throw new KnockError(
        'ERR_FIREWALL_COMMAND',
        `${tables.restore} took the rules, but INPUT does not start with them (is another program changing it?)`,
      );
    }
  }

  #shut(text: string, protocol: 'tcp' | 'udp'): Shut {
    const { protect = true } = this.#options;
    if (protect === true) return closedPortLooks(text, protocol);
    if (protect === false) return 'return';
    if (protect === 'drop') return 'drop';
    return { rejectWith: protocol === 'tcp' ? 'tcp-reset' : 'port-unreach' };
  }

  /** A set-up that failed half-way leaves what was there: no rules of ours, or an earlier run's, which keep ports shut. */
  async #undo(changed: readonly Tables[], before: ReadonlyMap<Tables, FilterState>): Promise<void> {
    for (const tables of changed) {
      if (before.get(tables)?.jumps.length === 0) await removeRules(tables, await readFilter(tables));
    }
  }

  #prepared(grant: Grant): { service: Service; lists: RecentLists } {
    const service = this.#services.get(grant.service);
    if (service === undefined || this.#lists === null) {
      throw new KnockError(
        'ERR_FIREWALL_UNSUPPORTED',
        `service '${grant.service}' was not set up (call setup first)`,
      );
    }
    return { service, lists: this.#lists };
  }
}

function keyOf({ service, source }: Opening): string {
  return `${service} ${source}`;
}

/** Rules that the host put before ours would decide about the protected ports. */
function comesFirst({ text }: FilterState): boolean {
  return text.split('\n').find((line) => line.startsWith('-A INPUT ')) === `-A INPUT -j ${MAIN}`;
}

function requireExpressible({ name, connections }: Service): void {
  if (connections === 'unlimited' || connections <= MOST_CONNECTIONS) return;
  throw new KnockError(
    'ERR_FIREWALL_UNSUPPORTED',
    `service ${name}: iptables admits at most ${MOST_CONNECTIONS} connections per knock, got ${connections} (or say unlimited)`,
  );
}

async function removeRules(tables: Tables, state: FilterState): Promise<void> {
  if (state.present.length > 0 || state.jumps.length > 0) await changeFilter(tables, teardownText(state));
}
