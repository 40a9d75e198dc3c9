// KnockListener: puts the parts of the pipeline together and gives them a life: start, events, stop.
// The firewall is set up last, when everything else is known to work, so that a failed start changes nothing;
// stop leaves the ports closed and open grants to the kernel.

import { EventEmitter } from 'node:events';
import { systemClock, type Clock } from '../clock.ts';
import { KnockError } from '../errors.ts';
import type { Grant, Service } from '../firewall/driver.ts';
import { journalFor } from '../grant/journal.ts';
import { GrantManager } from '../grant/manager.ts';
import { noMetrics } from '../metrics.ts';
import { Access, type ClientAccess } from '../policy/access.ts';
import { LocalAddresses } from '../policy/local.ts';
import { memoryReplay } from '../replay/memory.ts';
import type { ReplayStore } from '../replay/store.ts';
import type { CaptureNeed, Scheme } from '../scheme/scheme.ts';
import type { ListenerEvents } from './events.ts';
import { checkClients, needsOf, servicesOf, type ListenerOptions, type ReloadOptions } from './options.ts';
import { patiently } from './patience.ts';
import { Pipeline } from './pipeline.ts';
import { Telling } from './telling.ts';
import { startWarnings } from './warnings.ts';

type State = 'new' | 'starting' | 'running' | 'stopped';

/**
 * Listens for knocks and opens ports.
 *
 * @example
 * ```ts
 * const listener = new KnockListener({
 *   source: udpSocket({ port: [40000, 40015] }),
 *   schemes: [oneTime({ clients: { field: { secret, ports: [40000, 40015] } } })],
 *   driver: mock(),
 *   services: { ssh: { port: 22 } },
 *   clients: [{ name: 'field', services: ['ssh'] }],
 * });
 * listener.on('grant', ({ grant }) => console.log(`${grant.source} may open ${grant.service}`));
 * await listener.start();
 * ```
 */
export class KnockListener extends EventEmitter<ListenerEvents> {
  readonly #options: ListenerOptions;
  #services: readonly Service[];
  #schemes: readonly Scheme[];
  readonly #clock: Clock;
  readonly #replay: ReplayStore;
  readonly #telling: Telling;
  readonly #grants: GrantManager;
  readonly #local: LocalAddresses;
  readonly #pipeline: Pipeline;
  #needs: readonly CaptureNeed[];
  #reloads: Promise<unknown> = Promise.resolve();
  #state: State = 'new';
  #stopping: Promise<void> | null = null;
  #becomeReady = (): void => undefined;

  /** @throws TypeError, RangeError for options that cannot be used, with the argument's name */
  constructor(options: ListenerOptions) {
    super();
    this.#options = options;
    this.#services = servicesOf(options);
    this.#schemes = options.schemes;
    this.#needs = needsOf(options);
    checkClients(options);
    const clock = (this.#clock = options.clock ?? systemClock);
    this.#replay = options.replay ?? memoryReplay();
    const { driver, source, schemes, metrics = noMetrics } = options;
    const telling = (this.#telling = new Telling({ emitter: this, metrics, clock }));
    const { throttle, accepted, closed, failed } = telling;
    this.#grants = new GrantManager({
      ...{ driver, clock, services: this.#services, journal: journalFor(options) },
      events: { closed, failed },
    });
    this.#local = new LocalAddresses(clock);
    this.#pipeline = new Pipeline({
      rules: { schemes, access: this.#accessOf(options.clients) },
      local: source.checksDestination ? this.#local : null,
      ...{ replay: this.#replay, grants: this.#grants, throttle, metrics, accepted, failed },
    });
    metrics.watch(this);
  }

  /** Names of the services that it goes by now. */
  get services(): readonly string[] {
    return this.#services.map(({ name }) => name);
  }

  /** Names of the schemes that it goes by now. */
  get schemes(): readonly string[] {
    return this.#schemes.map(({ name }) => name);
  }

  /** The grants that are open now. */
  get grants(): readonly Grant[] {
    return this.#grants.open;
  }

  /** Whether it was started and not stopped: for a health check. A capture that ended is started again meanwhile. */
  get running(): boolean {
    return this.#state === 'running';
  }

  /**
   * Resolves when the ports are closed and the capture runs. Aborting `signal` later stops the listener.
   *
   * @throws KnockError of the source, the replay store or the driver: the firewall is as it was before. The signal's
   *   reason: an abort while the firewall was being set up leaves the ports closed
   */
  async start(options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const { signal } = options;
    if (this.#state !== 'new') {
      const message = `listener cannot be started, it is ${this.#state} (make a new one)`;
      throw new KnockError('ERR_LISTENER_STATE', message);
    }
    signal?.throwIfAborted();
    this.#state = 'starting';
    try {
      await this.#open(signal);
    } catch (error) {
      // A stop() that came before this did not see what has been opened since.
      const early = this.#stopping;
      await this.stop();
      if (early !== null) await this.#close();
      throw error;
    }
    this.#state = 'running';
    this.#becomeReady();
    signal?.addEventListener('abort', () => void this.stop(), { once: true });
  }

  /** Stops listening, within a second. The ports stay closed; open grants end on time by the kernel. Idempotent. */
  stop(): Promise<void> {
    return (this.#stopping ??= this.#close());
  }

  /** Takes a grant back. Resolves to false when there is none with this id. */
  revoke(id: string): Promise<boolean> {
    return this.#grants.revoke(id);
  }

  /** As {@link KnockListener.stop}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /**
   * Takes other rules while it runs: no packet is missed, open grants stay where client and service may still have
   * them. Nothing has changed when it rejects.
   *
   * @throws TypeError, RangeError for options that cannot be used; KnockError of the source or the driver
   */
  reload(options: ReloadOptions): Promise<void> {
    const turn = this.#reloads.then(() => this.#reload(options));
    this.#reloads = turn.catch(() => undefined);
    return turn;
  }

  async #reload(options: ReloadOptions): Promise<void> {
    const services = servicesOf(options);
    checkClients(options);
    if (this.#state !== 'running') {
      throw new KnockError('ERR_LISTENER_STATE', `listener cannot take other rules, it is ${this.#state}`);
    }
    const [before, { source }] = [this.#needs, this.#options];
    const access = this.#accessOf(options.clients);
    const after = needsOf(options);
    // Until the firewall has agreed, what either needs is seen.
    await source.renew?.([...before, ...after]);
    try {
      await this.#grants.update(services, { warning: this.#telling.warning });
    } catch (error) {
      await source.renew?.(before);
      throw error;
    }
    this.#services = services;
    this.#schemes = options.schemes;
    this.#needs = after;
    this.#pipeline.replaceRules({ schemes: options.schemes, access });
    await source.renew?.(after).catch(this.#telling.failed);
    // What was admitted by the old rules a moment ago is on its way into the firewall.
    await this.#grants.settled();
    for (const { id, client, service } of this.grants) {
      if (!access.allows(client, service)) await this.revoke(id).catch(this.#telling.failed);
    }
  }

  #accessOf(clients: readonly ClientAccess[]): Access {
    const { source } = this.#options;
    return new Access({
      clients,
      loopback: source.loopback,
      isOwn: (address) => source.checksDestination && this.#local.has(address),
    });
  }

  async #open(signal: AbortSignal | undefined): Promise<void> {
    const { source, driver, schemes } = this.#options;
    startWarnings({ driver, schemes, replay: this.#replay }).forEach(this.#telling.warning);
    const windowMs = Math.max(0, ...schemes.map(({ validityMs }) => validityMs));
    await this.#replay.open({ clock: this.#clock, windowMs, warning: this.#telling.warning });
    this.#requireStarting(signal);
    await source.open({
      clock: this.#clock,
      needs: this.#needs,
      ready: new Promise((resolve) => {
        this.#becomeReady = resolve;
      }),
      sink: {
        frame: (...frame) => {
          if (this.#state === 'running') this.#pipeline.frame(...frame);
        },
        end: () => void this.#pipeline.settled().then(() => this.emit('end')),
        warning: this.#telling.warning,
        dropped: (count) => {
          this.#options.metrics?.dropped(count);
        },
        error: this.#telling.failed,
      },
    });
    this.#requireStarting(signal);
    await this.#grants.start({ warning: this.#telling.warning });
    this.#requireStarting(signal);
  }

  #requireStarting(signal: AbortSignal | undefined): void {
    signal?.throwIfAborted();
    if (this.#stopping === null) return;
    throw new KnockError('ERR_LISTENER_STATE', 'listener was stopped while it started');
  }

  async #close(): Promise<void> {
    this.#state = 'stopped';
    const patience = { clock: this.#clock, warning: this.#telling.warning };
    await patiently(this.#options.source.close(), patience);
    await patiently(this.#pipeline.settled(), patience);
    this.#telling.flushRejects();
    await patiently(this.#grants.stop(), patience);
    await patiently(this.#replay.close(), patience);
    this.#telling.flushFailures();
  }
}
