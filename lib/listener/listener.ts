// KnockListener: puts the parts of the pipeline together and gives them a life: start, events, stop.
// The firewall is set up last, when everything else is known to work, so that a failed start changes nothing;
// stop leaves the ports closed and open grants to the kernel.

import { EventEmitter } from 'node:events';
import { systemClock, type Clock } from '../clock.ts';
import { KnockError, messageOf } from '../errors.ts';
import type { Grant, Service } from '../firewall/driver.ts';
import { GrantManager, type CloseReason } from '../grant/manager.ts';
import { noMetrics } from '../metrics.ts';
import { Access } from '../policy/access.ts';
import { LocalAddresses } from '../policy/local.ts';
import { RejectThrottle, type Reject } from '../policy/throttle.ts';
import { memoryReplay } from '../replay/memory.ts';
import type { ReplayStore } from '../replay/store.ts';
import { checkClients, servicesOf, type ListenerOptions } from './options.ts';
import { Pipeline } from './pipeline.ts';

/** Events of a {@link KnockListener}, with their arguments. */
export interface ListenerEvents {
  /** A port was opened. */
  grant: [event: { readonly grant: Grant; readonly scheme: string }];
  /** An opening ended. */
  close: [event: { readonly grant: Grant; readonly reason: CloseReason }];
  /** Knocks were refused; repetitions within a second come as one event with their count. */
  reject: [event: Reject];
  /** Something the operator should know; the listener goes on. */
  warning: [event: { readonly message: string }];
  /** A failure of the host; nothing was opened because of it. */
  error: [error: Error];
  /** The source is exhausted (a savefile's end). */
  end: [];
}

/** stop() waits this long for a firewall or a disk that does not answer. */
const STOP_PATIENCE_MS = 800;

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
  readonly #services: readonly Service[];
  readonly #clock: Clock;
  readonly #replay: ReplayStore;
  readonly #throttle: RejectThrottle;
  readonly #grants: GrantManager;
  readonly #pipeline: Pipeline;
  #state: State = 'new';
  #stopping: Promise<void> | null = null;
  #becomeReady = (): void => undefined;

  /** @throws TypeError, RangeError for options that cannot be used, with the argument's name */
  constructor(options: ListenerOptions) {
    super();
    this.#options = options;
    this.#services = servicesOf(options);
    checkClients(options);
    const clock = (this.#clock = options.clock ?? systemClock);
    this.#replay = options.replay ?? memoryReplay();
    this.#throttle = new RejectThrottle(clock, (reject) => this.emit('reject', reject));
    const metrics = options.metrics ?? noMetrics;
    const failed = (error: unknown): void => {
      this.emit('error', error instanceof Error ? error : new Error(String(error)));
    };
    this.#grants = new GrantManager({
      driver: options.driver,
      services: this.#services,
      clock,
      events: {
        closed: (grant, reason) => {
          metrics.close(reason, grant.service);
          this.emit('close', { grant, reason });
        },
        failed,
      },
    });
    const local = new LocalAddresses(clock);
    this.#pipeline = new Pipeline({
      schemes: options.schemes,
      access: new Access({
        clients: options.clients,
        loopback: options.source.loopback,
        isOwn: (address) => options.source.checksDestination && local.has(address),
      }),
      local: options.source.checksDestination ? local : null,
      replay: this.#replay,
      grants: this.#grants,
      throttle: this.#throttle,
      metrics,
      granted: (grant, scheme) => {
        metrics.grant(grant.service, scheme);
        this.emit('grant', { grant, scheme });
      },
      failed,
    });
  }

  /** The grants that are open now. */
  get grants(): readonly Grant[] {
    return this.#grants.open;
  }

  /**
   * Resolves when the ports are closed and the capture runs. Aborting `signal` later stops the listener.
   *
   * @throws KnockError of the source, the replay store or the driver: the firewall is as it was before. The signal's
   *   reason: an abort while the firewall was being set up leaves the ports closed
   */
  async start({ signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
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
    this.#stopping ??= this.#close();
    return this.#stopping;
  }

  /** Takes a grant back. Resolves to false when there is none with this id. */
  revoke(id: string): Promise<boolean> {
    return this.#grants.revoke(id);
  }

  /** As {@link KnockListener.stop}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #open(signal: AbortSignal | undefined): Promise<void> {
    const { source, driver, schemes } = this.#options;
    const warning = (message: string): void => {
      this.emit('warning', { message });
    };
    if (driver.real && !this.#replay.durable) {
      warning(
        'replay state is only in memory: a knock recorded before a restart works again after it (use fileReplay)',
      );
    }
    for (const scheme of schemes.filter(({ replayable }) => replayable)) {
      warning(
        `scheme ${scheme.name} has no replay protection: whoever records a knock can repeat it (use one-time)`,
      );
    }
    const windowMs = Math.max(0, ...schemes.map(({ validityMs }) => validityMs));
    await this.#replay.open({ clock: this.#clock, windowMs, warning });
    this.#requireStarting(signal);
    await source.open({
      clock: this.#clock,
      needs: schemes.flatMap(({ needs }) => needs),
      ready: new Promise((resolve) => {
        this.#becomeReady = resolve;
      }),
      sink: {
        frame: (...frame) => {
          if (this.#state === 'running') this.#pipeline.frame(...frame);
        },
        end: () => void this.#pipeline.settled().then(() => this.emit('end')),
        warning,
        dropped: (count) => {
          this.#options.metrics?.dropped(count);
        },
        error: (error) => {
          this.emit('error', error);
        },
      },
    });
    this.#requireStarting(signal);
    await driver.setup(this.#services, { warning });
    this.#requireStarting(signal);
  }

  #requireStarting(signal: AbortSignal | undefined): void {
    signal?.throwIfAborted();
    if (this.#stopping === null) return;
    throw new KnockError('ERR_LISTENER_STATE', 'listener was stopped while it started');
  }

  async #close(): Promise<void> {
    this.#state = 'stopped';
    await this.#patiently(this.#options.source.close());
    await this.#patiently(this.#pipeline.settled());
    this.#throttle.flush();
    await this.#patiently(this.#grants.stop());
    await this.#patiently(this.#replay.close());
  }

  /** Waits for `work`, but not for ever: whoever stops us must get their process back. */
  async #patiently(work: Promise<void>): Promise<void> {
    let cancel = (): void => undefined;
    const patience = new Promise<void>((resolve) => {
      cancel = this.#clock.after(STOP_PATIENCE_MS / 4, resolve);
    });
    try {
      await Promise.race([work, patience]);
    } catch (error) {
      this.emit('warning', { message: `stop: ${messageOf(error)}` });
    } finally {
      cancel();
    }
  }
}
