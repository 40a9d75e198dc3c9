// The half of portknockd with root: starts the half that reads packets, as another user, does what that one asks for if it
// fits the configuration (guard.ts), and ends with it. A message that is none ends both: the ports stay closed.

import type { Duplex } from 'node:stream';
import { startCapture, NOBODY } from '../capture/live.ts';
import { systemClock } from '../clock.ts';
import type { Account } from '../config/account.ts';
import { recordingReader, type ConfigFiles } from '../config/bundle.ts';
import { loadOrigin, type ConfigOrigin } from '../config/origin.ts';
import { requireReloadable } from '../config/reload.ts';
import type { GatewayConfig } from '../config/schema.ts';
import { KnockError, messageOf, printable } from '../errors.ts';
import { Throttle } from '../policy/throttle.ts';
import { CaptureKeeper } from './capture-keeper.ts';
import { LineChannel } from './channel.ts';
import { Guard } from './guard.ts';
import { guardedOf } from './guarded.ts';
import { Desk } from './desk.ts';
import { MOST_REQUEST_BYTES, type Order } from './messages.ts';
import { startVerifier, type Verifier } from './spawn.ts';
import { requireTrusted } from './trust.ts';

/** `ready` also at the end of a reload; `alive`: the other half answers, and says that it does its work. */
export type WardenState = 'ready' | 'reloading' | 'stopping' | 'alive';

/** {@link startWarden}'s options. */
export interface WardenOptions {
  /** Whom the other half runs as. */
  readonly account: Account;
  /** What Node runs as the other half, and its arguments. */
  readonly program: readonly string[];
  readonly origin: ConfigOrigin;
  readonly config: GatewayConfig;
  /** What of it was read. */
  readonly files: ConfigFiles;
  /** Anything that the other half is to know besides; JSON. */
  readonly greeting: unknown;
  readonly log: (
    event: 'warning' | 'error',
    fields: { readonly code?: string; readonly message: string },
  ) => void;
  readonly onState?: (state: WardenState) => void;
}

/** The half with root, running. */
export interface Warden {
  /** The process of the other half. */
  readonly pid: number | undefined;
  /**
   * Resolves when the other half and all captures are gone, to the exit code: the other half's own if it was done, 1 when
   * it died or was ended. @throws KnockError `ERR_WARDEN` when it never began
   */
  readonly ended: Promise<{ readonly code: number; readonly forced: boolean }>;
  stop(reason: string): void;
  reload(): void;
}

/** A stop takes a second at most. */
const STOP_MS = 1200;
/** Between the end of the pipe and that of the process. */
const LEAVE_MS = 500;
/** Node's own channels, which hand pipes over, have no limit for what comes in. */
const MOST_GROWTH_BYTES = 256 * 1024 * 1024;
const WATCH_MS = 250;
const PING_MS = 5000;
const ADVICE = 'a fault of portknock, or somebody has taken over the half that reads packets';

/** Starts both halves. */
export function startWarden(options: WardenOptions): Warden {
  return new RunningWarden(options);
}

class RunningWarden implements Warden {
  readonly ended: Promise<{ readonly code: number; readonly forced: boolean }>;
  readonly #options: WardenOptions;
  readonly #verifier: Verifier['process'];
  readonly #channel: LineChannel;
  readonly #guard: Guard;
  readonly #captures: CaptureKeeper;
  readonly #refusals: Throttle<string>;
  readonly #timers: readonly NodeJS.Timeout[];
  #began = false;
  #stopping = false;
  /** Why it was ended, if it was. */
  #fault: string | null = null;
  #forced = false;

  constructor(options: WardenOptions) {
    const { config, account, program } = options;
    this.#options = options;
    const first = guardedOf(config);
    this.#refusals = new Throttle(systemClock, (why, count) => {
      const times = count === 1 ? '' : `, ${count} times within a second`;
      this.#tell(`refused ${why}${times} (${ADVICE})`);
    });
    this.#guard = new Guard({
      first,
      clock: systemClock,
      reload: () => this.#reread(),
      warning: (message) => {
        this.#send({ kind: 'warning', message });
      },
      refused: (why) => {
        this.#refusals.note(why, why);
      },
    });
    const { process: verifier, bounded } = startVerifier(account, program);
    if (!bounded) {
      const message = 'setpriv is missing, so that no_new_privs is not set (apt-get install util-linux)';
      options.log('warning', { message });
    }
    this.#verifier = verifier;
    this.#captures = new CaptureKeeper({
      order: { device: first.device ?? '', uid: NOBODY, gid: NOBODY },
      start: startCapture,
      handOver: (capture, packets) => {
        verifier.send({ capture }, packets, {}, () => undefined);
      },
      tell: this.#send,
    });
    const desk = new Desk({
      ...{ guard: this.#guard, captures: this.#captures, send: this.#send },
      noted: (notice) => {
        this.#began = true;
        if (notice.kind === 'ready') options.onState?.('ready');
        if (notice.kind === 'alive' && notice.working) options.onState?.('alive');
      },
      fault: (fault) => {
        this.#kill(fault);
      },
    });
    this.#channel = new LineChannel(verifier.stdio[3] as Duplex, {
      mostBytes: MOST_REQUEST_BYTES,
      take: (value) => {
        desk.take(value);
      },
      ended: (fault) => {
        if (fault !== null) this.#kill(fault);
        else setTimeout(() => verifier.kill('SIGKILL'), LEAVE_MS).unref();
      },
    });
    // Node keeps what nobody listens to.
    verifier.on('message', () => {
      this.#kill('it spoke where it has to listen');
    });
    const mostBytes = process.memoryUsage.rss() + MOST_GROWTH_BYTES;
    this.#timers = [
      setInterval(() => {
        this.#send({ kind: 'ping' });
      }, PING_MS),
      setInterval(() => {
        if (process.memoryUsage.rss() > mostBytes) this.#kill('what it sends takes too much memory here');
      }, WATCH_MS),
    ];
    process.on('uncaughtException', this.#failed);
    this.ended = this.#end();
    const { origin, files, greeting } = options;
    this.#send({ kind: 'begin', origin, files, greeting });
  }

  get pid(): number | undefined {
    return this.#verifier.pid;
  }

  stop(reason: string): void {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#options.onState?.('stopping');
    this.#send({ kind: 'stop', reason });
    setTimeout(() => {
      this.#forced = true;
      this.#verifier.kill('SIGKILL');
    }, STOP_MS).unref();
  }

  reload(): void {
    this.#send({ kind: 'reload' });
  }

  readonly #send = (order: Order): void => {
    this.#channel.send(order);
  };

  async #reread() {
    this.#options.onState?.('reloading');
    const { reader, read } = recordingReader();
    const next = await loadOrigin(this.#options.origin, reader);
    requireReloadable(this.#options.config, next);
    await requireTrusted(read(), this.#options.account);
    return { next: guardedOf(next).rules, told: read() };
  }

  /** Nonsense on one of Node's own channels, most likely. What no kernel ends has to be ended all the same. */
  readonly #failed = (error: unknown): void => {
    this.#kill(`something failed here: ${printable(messageOf(error), 200)}`);
  };

  #kill(fault: string): void {
    this.#fault ??= fault;
    this.#channel.close();
    this.#verifier.kill('SIGKILL');
  }

  async #end(): Promise<{ readonly code: number; readonly forced: boolean }> {
    const how = await new Promise<number | string>((resolve) => {
      this.#verifier.once('exit', (code, signal) => {
        resolve(code ?? signal ?? '');
      });
      this.#verifier.once('error', (error) => {
        resolve(messageOf(error));
      });
    });
    this.#timers.forEach(clearInterval);
    this.#channel.close();
    await Promise.all([this.#captures.end(), this.#guard.stop()]);
    process.off('uncaughtException', this.#failed);
    this.#refusals.flush();
    if (this.#stopping) return { code: typeof how === 'number' ? how : 0, forced: this.#forced };
    if (!this.#began && this.#fault === null) throw notBegun(this.#options.account, how);
    if (this.#fault !== null) this.#tell(`ended the half that reads packets: ${this.#fault} (${ADVICE})`);
    else if (typeof how !== 'number' || how === 0)
      this.#tell(`the half that reads packets ended (${how === 0 ? 'unasked' : how}); the ports stay closed`);
    return { code: typeof how === 'number' && how !== 0 && this.#fault === null ? how : 1, forced: false };
  }

  #tell(message: string): void {
    this.#options.log('error', { code: 'ERR_WARDEN', message });
  }
}

function notBegun({ name }: Account, how: number | string): KnockError {
  const ended = typeof how === 'number' ? `exit status ${how}` : how;
  return new KnockError(
    'ERR_WARDEN',
    `the half that reads packets cannot be started as user ${name} (${ended}): Node and portknock must be readable for it, and the kernel must know it (or say user: root)`,
  );
}
