// The life of a grant: issued after authorization, opened by the driver, ended by its use, its time, or a revocation.
// The kernel ends it whatever happens here; this is the bookkeeping that reports it and cleans up behind it.
// All changes of the firewall go through one queue, so that two of them never overtake each other.

import { randomBytes } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { FirewallDriver, Grant, Opening, Service } from '../firewall/driver.ts';

/** How a grant ended. `superseded`: the same client address knocked again for the same service. */
export type CloseReason = 'used' | 'expired' | 'revoked' | 'superseded';

export interface GrantEvents {
  closed(grant: Grant, reason: CloseReason): void;
  /** The firewall failed outside of an issue() call; the kernel still ends what was open. */
  failed(error: unknown): void;
}

export interface IssueRequest {
  readonly client: string;
  readonly source: string;
  readonly services: readonly string[];
}

interface Held {
  readonly grant: Grant;
  readonly cancel: () => void;
}

/** How often the firewall is asked which grants were used, while there are any. */
const POLL_MS = 250;

/** Keeps the open grants. */
export class GrantManager {
  readonly #driver: FirewallDriver;
  readonly #services: ReadonlyMap<string, Service>;
  readonly #clock: Clock;
  readonly #events: GrantEvents;
  /** By service and source: the kernel knows only these, so there is one grant for both at a time. */
  readonly #held = new Map<string, Held>();
  #queue: Promise<unknown> = Promise.resolve();
  #cancelPoll: (() => void) | null = null;
  #stopped = false;
  /** A firewall that cannot be asked is reported once, not four times a second. */
  #listFailed = false;

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
  }

  get open(): readonly Grant[] {
    return [...this.#held.values()].map(({ grant }) => grant);
  }

  /**
   * Opens all the services or none; none, and no error, once stop() was called.
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

  /** Forgets the timers. Open grants stay with the kernel, which ends them. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelPoll?.();
    for (const { cancel } of this.#held.values()) cancel();
    await this.#queue.catch(() => undefined);
    this.#held.clear();
  }

  async #issue({ client, source, services }: IssueRequest): Promise<readonly Grant[]> {
    const grants = services.map((name) => this.#grantFor(name, client, source));
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

  #grantFor(name: string, client: string, source: string): Grant {
    const service = this.#services.get(name);
    if (service === undefined) throw new RangeError(`service must be configured, got '${name}'`);
    const { protocol, port, openForMs, connections } = service;
    const id = randomBytes(8).toString('hex');
    const openUntil = this.#clock.now() + openForMs;
    return { id, client, source, service: name, protocol, port, openUntil, connections };
  }

  #hold(grant: Grant): void {
    // The kernel ends it; timers of ours would outlive us.
    if (this.#stopped) return;
    const key = keyOf(grant);
    const earlier = this.#held.get(key);
    earlier?.cancel();
    const openForMs = grant.openUntil - this.#clock.now();
    const held: Held = {
      grant,
      cancel: this.#clock.after(openForMs, () => {
        this.#background(() => this.#expire(held));
      }),
    };
    this.#held.set(key, held);
    if (earlier !== undefined) this.#events.closed(earlier.grant, 'superseded');
    this.#poll();
  }

  async #expire(held: Held): Promise<void> {
    if (this.#held.get(keyOf(held.grant)) !== held) return;
    await this.#reportUsed();
    if (this.#held.get(keyOf(held.grant)) !== held) return;
    // The kernel has ended it already; a driver that cannot clean up behind it must not keep it in our books.
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

  /** Whatever we hold and the firewall no longer lists was spent by a connection. */
  async #reportUsed(): Promise<void> {
    let listed: readonly Opening[];
    try {
      listed = await this.#driver.list();
      this.#listFailed = false;
    } catch (error) {
      if (!this.#listFailed) this.#events.failed(error);
      this.#listFailed = true;
      return;
    }
    const open = new Set(listed.map(keyOf));
    for (const held of [...this.#held.values()]) {
      if (!open.has(keyOf(held.grant))) this.#forget(held, 'used');
    }
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

function keyOf({ service, source }: { readonly service: string; readonly source: string }): string {
  return `${service} ${source}`;
}
