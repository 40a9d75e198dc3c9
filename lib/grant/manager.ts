// The life of a grant: issued after authorization, opened by the driver, ended by its use, its time, or a revocation.
// The kernel ends it whatever happens here; this is the bookkeeping that reports it and cleans up behind it.
// All changes of the firewall go through one queue, so that two of them never overtake each other.

import type { Clock } from '../clock.ts';
import { isSameService, type DriverContext, type FirewallDriver } from '../firewall/driver.ts';
import type { Grant, Service } from '../firewall/driver.ts';
import type { CloseReason, GrantEvents } from './events.ts';
import { grantOf, keyOf, type IssueRequest, type RevokeRequest } from './request.ts';
import { SpentGrants } from './spent.ts';

interface Held {
  readonly grant: Grant;
  readonly cancel: () => void;
}

/** How often the firewall is asked which grants were used, while there are any. */
const POLL_MS = 250;

/** Keeps the open grants. */
export class GrantManager {
  readonly #driver: FirewallDriver;
  #services: ReadonlyMap<string, Service>;
  readonly #clock: Clock;
  readonly #events: GrantEvents;
  readonly #spent: SpentGrants;
  /**
   * By service and source text: the kernel knows only these, so there is one grant for both at a time. A grant for a
   * prefix and one for an address in it are two; the driver spends the address's first, and lists what is left.
   */
  readonly #held = new Map<string, Held>();
  #queue: Promise<unknown> = Promise.resolve();
  #cancelPoll: (() => void) | null = null;
  #stopped = false;

  constructor(options: {
    readonly driver: FirewallDriver;
    readonly services: readonly Service[];
    readonly clock: Clock;
    readonly events: GrantEvents;
  }) {
    this.#driver = options.driver;
    this.#services = new Map(options.services.map((service) => [service.name, service]));
    this.#clock = options.clock;
    this.#events = options.events;
    this.#spent = new SpentGrants(options.driver, (error) => {
      options.events.failed(error);
    });
  }

  get open(): readonly Grant[] {
    return [...this.#held.values()].map(({ grant }) => grant);
  }

  /**
   * Opens all the services or none; none, and no error, once stop() was called, or when `until` has passed.
   *
   * @throws what the driver threw, after closing what had been opened
   */
  issue(request: IssueRequest): Promise<readonly Grant[]> {
    return this.#inTurn(async () => (this.#stopped ? [] : this.#issue(request)));
  }

  /** Takes a grant back; its established connections live on. Resolves to false when there is no such grant. */
  revoke(id: string): Promise<boolean> {
    return this.#inTurn(async () => {
      const held = [...this.#held.values()].find(({ grant }) => grant.id === id);
      if (held === undefined) return false;
      await this.#end(held, 'revoked');
      return true;
    });
  }

  /**
   * Takes back the client's grants of these services, whatever their source; resolves to those that were still open.
   *
   * @throws what the driver threw, after trying all of them
   */
  revokeAll(request: RevokeRequest): Promise<readonly Grant[]> {
    return this.#inTurn(() => this.#revokeAll(request));
  }

  /**
   * Sets up another list of services. Grants of those that stay the same stay; the others are gone, and reported as
   * revoked.
   *
   * @throws what the driver threw; the earlier services are set up then, and no grant is lost
   */
  update(services: readonly Service[], context: DriverContext): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#stopped) await this.#update(services, context);
    });
  }

  /** Resolves when everything that was asked so far has been done or has failed. */
  settled(): Promise<void> {
    return this.#inTurn(() => Promise.resolve());
  }

  /** Forgets the timers. Open grants stay with the kernel, which ends them. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelPoll?.();
    for (const { cancel } of this.#held.values()) cancel();
    await this.#queue.catch(() => undefined);
    this.#held.clear();
  }

  async #issue(request: IssueRequest): Promise<readonly Grant[]> {
    const services = request.services.map((name) => this.#serviceOf(name));
    const now = this.#clock.now();
    if ((request.until ?? Infinity) <= now) return [];
    const grants = services.map((service) => grantOf(service, request, now));
    // An earlier grant that was spent a moment ago was used, not superseded.
    if (grants.some((grant) => this.#held.has(keyOf(grant)))) await this.#reportUsed();
    const opened: Grant[] = [];
    try {
      for (const grant of grants) {
        await this.#driver.open(grant);
        opened.push(grant);
      }
    } catch (error) {
      // The one that failed may be half open, and the driver's contract makes closing it harmless.
      for (const grant of grants.slice(0, opened.length + 1)) await this.#closeQuietly(grant);
      throw error;
    }
    for (const grant of grants) this.#hold(grant);
    return grants;
  }

  #serviceOf(name: string): Service {
    const service = this.#services.get(name);
    if (service === undefined) throw new RangeError(`service must be configured, got '${name}'`);
    return service;
  }

  #hold(grant: Grant): void {
    // The kernel ends it; timers of ours would outlive us.
    if (this.#stopped) return;
    const key = keyOf(grant);
    const earlier = this.#held.get(key);
    earlier?.cancel();
    const end = (): void => {
      this.#background(() => this.#expire(held));
    };
    const held: Held = { grant, cancel: this.#clock.after(grant.openUntil - this.#clock.now(), end) };
    this.#held.set(key, held);
    if (earlier !== undefined) this.#events.closed(earlier.grant, 'superseded');
    this.#poll();
  }

  async #revokeAll({ client, services }: RevokeRequest): Promise<readonly Grant[]> {
    const isMeant = ({ grant }: Held): boolean => grant.client === client && services.includes(grant.service);
    await this.#reportUsed();
    const revoked: Grant[] = [];
    const failures: unknown[] = [];
    for (const held of [...this.#held.values()].filter(isMeant)) {
      try {
        await this.#end(held, 'revoked');
        revoked.push(held.grant);
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
    return revoked;
  }

  async #update(services: readonly Service[], context: DriverContext): Promise<void> {
    // What was spent before was used, whatever becomes of its service.
    await this.#reportUsed();
    await this.#driver.setup(services, context);
    const earlier = this.#services;
    this.#services = new Map(services.map((service) => [service.name, service]));
    for (const held of [...this.#held.values()]) {
      const { service } = held.grant;
      if (!isSameService(earlier.get(service), this.#services.get(service))) this.#forget(held, 'revoked');
    }
  }

  async #expire(held: Held): Promise<void> {
    if (this.#held.get(keyOf(held.grant)) !== held) return;
    await this.#reportUsed();
    if (this.#held.get(keyOf(held.grant)) !== held) return;
    // Most often the kernel has ended it already; one that ends before its service's time ends here. A driver that
    // cannot must not keep it in our books: the kernel still has the service's time.
    await this.#driver.close(held.grant).catch((error: unknown) => {
      this.#events.failed(error);
    });
    this.#forget(held, 'expired');
  }

  async #end(held: Held, reason: CloseReason): Promise<void> {
    await this.#driver.close(held.grant);
    this.#forget(held, reason);
  }

  #forget(held: Held, reason: CloseReason): void {
    held.cancel();
    this.#held.delete(keyOf(held.grant));
    this.#events.closed(held.grant, reason);
  }

  #poll(): void {
    if (this.#cancelPoll !== null || this.#held.size === 0 || this.#stopped) return;
    this.#cancelPoll = this.#clock.after(POLL_MS, () => {
      this.#cancelPoll = null;
      this.#background(async () => {
        await this.#reportUsed();
        this.#poll();
      });
    });
  }

  async #reportUsed(): Promise<void> {
    if (this.#held.size === 0) return;
    for (const held of await this.#spent.among(this.#held.values())) this.#forget(held, 'used');
  }

  async #closeQuietly(grant: Grant): Promise<void> {
    const earlier = this.#held.get(keyOf(grant));
    try {
      await this.#driver.close(grant);
      // The kernel keeps one entry for both, so the earlier grant went with the failed one.
      if (earlier !== undefined) this.#forget(earlier, 'revoked');
    } catch (error) {
      this.#events.failed(error);
    }
  }

  #background(run: () => Promise<void>): void {
    this.#inTurn(async () => {
      if (!this.#stopped) await run();
    }).catch((error: unknown) => {
      this.#events.failed(error);
    });
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(run);
    this.#queue = turn.catch(() => undefined);
    return turn;
  }
}
