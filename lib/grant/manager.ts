// The life of a grant: issued after authorization, opened by the driver, ended by its use, its time, or a revocation. The
// kernel ends it whatever happens here; this is the bookkeeping that reports it and cleans up behind it. Changes of one
// opening never overtake each other; those of different openings go on at the same time.

import type { Clock } from '../clock.ts';
import { isLive, isSameService } from '../firewall/driver.ts';
import type { DriverContext, FirewallDriver, Grant, Service } from '../firewall/driver.ts';
import type { CloseReason, GrantEvents, ManagerParts } from './events.ts';
import { HeldGrants, type Held } from './held.ts';
import { Lanes } from './lanes.ts';
import { Openings } from './openings.ts';
import { grantOf, isTimely, keyOf, later, type IssueRequest, type RevokeRequest } from './request.ts';
import { UseWatch } from './use-watch.ts';

/** After this, a driver that could not close is asked again: while the kernel does not end it, and where nothing does. */
const RETRY_MS = { soon: 1000, forEver: 10_000 };

/** Keeps the open grants. */
export class GrantManager {
  readonly #driver: FirewallDriver;
  readonly #endsByItself: boolean;
  #services: ReadonlyMap<string, Service>;
  readonly #clock: Clock;
  readonly #events: GrantEvents;
  readonly #uses: UseWatch;
  readonly #openings: Openings;
  readonly #held = new HeldGrants();
  readonly #lanes = new Lanes();
  #stopped = false;

  constructor({ driver, services, clock, events, journal = null }: ManagerParts) {
    this.#driver = driver;
    this.#endsByItself = driver.endsByItself !== false;
    this.#services = new Map(services.map((service) => [service.name, service]));
    this.#clock = clock;
    this.#events = events;
    this.#uses = new UseWatch({
      ...{ driver, clock, held: this.#held, lanes: this.#lanes, failed: this.#failed },
      used: (held) => {
        this.#forget(held, 'used');
      },
    });
    this.#openings = new Openings({ driver, journal, failed: this.#failed });
  }

  get open(): readonly Grant[] {
    return this.#held.all.map(({ grant }) => grant);
  }

  /**
   * Sets up the services, and goes on with the grants of an earlier run that are still good.
   *
   * @throws what the driver or the journal threw
   */
  start(context: DriverContext): Promise<void> {
    return this.#lanes.alone(async () => {
      const earlier = await this.#openings.setUp(this.#services, { context, nowMs: this.#clock.now() });
      for (const grant of earlier) this.#takeOver(grant);
    });
  }

  /**
   * Opens all the services or none; none, and no error, after stop(), after `until`, or when it is not allowed.
   * @throws what the driver or the journal threw; what had been opened is closed again
   */
  issue(request: IssueRequest): Promise<readonly Grant[]> {
    const keys = request.services.map((service) => keyOf({ ...request, service }));
    return this.#lanes.along(keys, async () => (this.#stopped ? [] : this.#issue(request)));
  }

  /** Takes a grant back; its established connections live on. Resolves to false when there is no such grant. */
  revoke(id: string): Promise<boolean> {
    const run = async (): Promise<boolean> => {
      const held = this.#held.byId(id);
      if (held !== undefined) await this.#end(held, 'revoked');
      return held !== undefined;
    };
    const held = this.#held.byId(id);
    // One that is on its way in is found when it is there.
    return held === undefined ? this.#lanes.alone(run) : this.#lanes.along([keyOf(held.grant)], run);
  }

  /**
   * Takes back the client's grants of these services, whatever their source; resolves to those that were still open.
   *
   * @throws what the driver threw, after trying all of them
   */
  revokeAll(request: RevokeRequest): Promise<readonly Grant[]> {
    const isMeant = ({ grant: { client, service } }: Held): boolean =>
      client === request.client && request.services.includes(service);
    return this.#lanes.alone(async () => {
      await this.#uses.report(this.#held.all.filter(isMeant));
      const meant = this.#held.all.filter(isMeant);
      for (const failure of await this.#endAll(meant)) throw failure;
      return meant.map(({ grant }) => grant);
    });
  }

  /**
   * Sets up another list of services. Grants of those that stay the same stay; the others are gone, and reported as
   * revoked.
   *
   * @throws what the driver threw; the earlier services are set up then, and no grant is lost
   */
  update(services: readonly Service[], context: DriverContext): Promise<void> {
    return this.#lanes.alone(async () => {
      if (this.#stopped) return;
      // What was spent before was used, whatever becomes of its service.
      await this.#uses.report(this.#held.all);
      await this.#driver.setup(services, context);
      const earlier = this.#services;
      this.#services = new Map(services.map((service) => [service.name, service]));
      for (const held of this.#held.all) {
        const { service } = held.grant;
        if (!isSameService(earlier.get(service), this.#services.get(service))) this.#forget(held, 'revoked');
      }
    });
  }

  /** Resolves when everything that was asked so far has been done or has failed. */
  settled(): Promise<void> {
    return this.#lanes.idle();
  }

  /** Forgets the timers. Open grants stay with the kernel, which ends them; where there is none, they are closed. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#uses.stop();
    this.#held.rest();
    await this.#lanes.idle();
    if (!this.#endsByItself) (await this.#endAll(this.#held.all)).forEach(this.#failed);
    this.#held.clear();
    await this.#openings.stop();
  }

  async #issue(request: IssueRequest): Promise<readonly Grant[]> {
    const services = request.services.map((name) => this.#serviceOf(name));
    // An earlier grant that was spent a moment ago was used, not superseded.
    await this.#uses.report(
      request.services.flatMap((service) => this.#held.for({ ...request, service }) ?? []),
    );
    const now = this.#clock.now();
    const planned = services.map((service) => grantOf(service, request, now));
    const mayOpen = async (): Promise<boolean> => (await isTimely(request, this.#clock)) && !this.#stopped;
    if (!(await this.#openings.record(planned, mayOpen))) return [];
    // What that took is not taken from their time.
    const grants = planned.map((grant) => later(grant, request, this.#clock.now() - now));
    await this.#openings.open(grants, {
      // The firewall keeps one entry for both, so the earlier grant went with the failed one.
      closed: (grant) => {
        const earlier = this.#held.for(grant);
        if (earlier !== undefined) this.#forget(earlier, 'revoked');
      },
      stuck: (grant) => {
        this.#closeLater(grant, this.#lastsUntil(grant));
      },
    });
    for (const grant of grants) this.#hold(grant);
    return grants;
  }

  #serviceOf(name: string): Service {
    const service = this.#services.get(name);
    if (service === undefined) throw new RangeError(`service must be configured, got '${name}'`);
    return service;
  }

  #takeOver(grant: Grant): void {
    if (isLive(grant, this.#services.get(grant.service), this.#clock.now())) this.#hold(grant);
    else if (this.#endsByItself) this.#ended(grant, 'expired');
    else this.#watch(grant, { ms: 0, lastsUntil: Infinity, isOver: true });
  }

  #hold(grant: Grant): void {
    const lastsUntil = this.#lastsUntil(grant);
    // Where the clock was set back meanwhile, the time that is left is not what it says.
    const ms = Math.min(grant.openUntil, lastsUntil) - this.#clock.now();
    this.#watch(grant, { ms, lastsUntil, isOver: false });
    this.#uses.go();
  }

  /** For an opening that is over, and that the firewall could not close. */
  #closeLater(grant: Grant, lastsUntil: number): void {
    const ms = lastsUntil === Infinity ? RETRY_MS.forEver : RETRY_MS.soon;
    this.#watch(grant, { ms, lastsUntil, isOver: true });
  }

  #lastsUntil({ service }: Grant): number {
    return this.#endsByItself ? this.#clock.now() + (this.#services.get(service)?.openForMs ?? 0) : Infinity;
  }

  /** Enters a grant; the one that it takes the place of has ended. Not after a stop where the kernel ends it. */
  #watch(grant: Grant, { ms, ...rest }: Omit<Held, 'grant' | 'cancel'> & { ms: number }): void {
    if (this.#stopped && this.#endsByItself) return;
    const end = (): void => {
      this.#lanes.along([keyOf(grant)], () => this.#expire(held)).catch(this.#failed);
    };
    const held: Held = { grant, cancel: this.#clock.after(ms, end), ...rest };
    const earlier = this.#held.put(held);
    if (earlier !== undefined && earlier.grant.id !== grant.id) this.#ended(earlier.grant, 'superseded');
  }

  /** What went wrong. */
  async #endAll(all: readonly Held[]): Promise<readonly unknown[]> {
    const results = await Promise.allSettled(all.map((held) => this.#end(held, 'revoked')));
    return results.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
  }

  async #expire(held: Held): Promise<void> {
    if (this.#stopped || !this.#held.has(held)) return;
    await this.#uses.report([held]);
    if (!this.#held.has(held)) return;
    // Most often the kernel has ended it already; one that ends before its service's time ends here.
    try {
      await this.#openings.close(held.grant);
    } catch (error) {
      this.#failed(error);
      // It is still open; but what the kernel has ended must not stay in our books for a driver that fails.
      if (this.#clock.now() < held.lastsUntil) {
        this.#closeLater(held.grant, held.lastsUntil);
        return;
      }
    }
    this.#forget(held, 'expired');
  }

  async #end(held: Held, reason: CloseReason): Promise<void> {
    await this.#openings.close(held.grant);
    this.#forget(held, reason);
  }

  #forget(held: Held, reason: CloseReason): void {
    this.#held.remove(held);
    this.#ended(held.grant, reason);
  }

  /** Whoever listens must not stop what is done about the others. */
  #ended(grant: Grant, reason: CloseReason): void {
    this.#openings.forget([grant]);
    try {
      this.#events.closed(grant, reason);
    } catch (error) {
      this.#failed(error);
    }
  }

  readonly #failed = (error: unknown): void => {
    this.#events.failed(error);
  };
}
