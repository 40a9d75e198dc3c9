// What the service manager is told (sd_notify(3)): ready, reloading, stopping, and that we live. Node has no unix
// datagram sockets, so systemd-notify says it; it also waits until it was heard, which a child that has ended by then
// would not be. A manager that cannot be told is a warning, once, and never a reason to end.

import { spawn } from 'node:child_process';
import { messageOf, printable, systemCode } from '../lib/knocker.ts';
import { systemClock, type Clock } from '../lib/index.ts';

/** Tells the service manager where we are; each call returns at once, and what is said arrives in order. */
export interface Notifier {
  /** From now on also that we live, as often as the manager wants to hear it. */
  ready(status: string): void;
  /** Said only between ready() and stopping(). */
  reloading(): void;
  reloaded(status: string): void;
  /** The last thing that is said; resolves once it was, or could not be. */
  stopping(): Promise<void>;
}

/** {@link notifier}'s options. */
export interface NotifierOptions {
  /** What is about the manager is taken out of it, so that no child of ours inherits it. */
  readonly env: NodeJS.ProcessEnv;
  /** Whether we do our work. While it is false, or has no answer, the watchdog hears nothing. */
  readonly alive: () => Promise<boolean>;
  readonly warn: (message: string) => void;
  readonly clock?: Clock;
  readonly send?: Send;
}

/** Delivers one message; resolves to why it could not, or `null`. */
export type Send = (socket: string, assignments: readonly string[]) => Promise<string | null>;

const SEND_PATIENCE_MS = 5000;
const LONGEST_TIMER_MS = 2 ** 31 - 1;
const MOST_STATUS = 200;

const SILENT: Notifier = {
  ready: () => undefined,
  reloading: () => undefined,
  reloaded: () => undefined,
  stopping: () => Promise.resolve(),
};

/** Who tells the manager that started us; nobody when none did. */
export function notifier(options: NotifierOptions): Notifier {
  const { env, alive, warn, clock = systemClock, send = systemdNotify } = options;
  const { socket, everyMs } = takeManager(env);
  if (socket === null) return SILENT;
  let state: 'starting' | 'ready' | 'stopping' = 'starting';
  let warned = false;
  let queue: Promise<void> = Promise.resolve();
  const say = (...assignments: readonly string[]): Promise<void> => {
    queue = queue.then(async () => {
      const problem = await send(socket, assignments);
      if (problem !== null && !warned) {
        warned = true;
        warn(`service manager cannot be told: ${problem} (it may take us for dead)`);
      }
    });
    return queue;
  };
  let checking = false;
  const beat = async (): Promise<void> => {
    // A check that has not answered by the next one's turn is no sign of life.
    if (checking) return;
    checking = true;
    try {
      if ((await alive()) && state === 'ready') await say('WATCHDOG=1');
    } catch {
      // Whoever cannot say that it lives does not.
    } finally {
      checking = false;
    }
  };
  const keepBeating = (ms: number): void => {
    if (state !== 'ready') return;
    void beat();
    clock.after(ms, () => {
      keepBeating(ms);
    });
  };
  return {
    ready(status) {
      if (state !== 'starting') return;
      state = 'ready';
      void say('READY=1', statusOf(status));
      if (everyMs !== null) keepBeating(everyMs);
    },
    reloading() {
      // systemd compares it with the time at which it asked.
      const since = process.hrtime.bigint() / 1000n;
      if (state === 'ready') void say('RELOADING=1', `MONOTONIC_USEC=${since}`);
    },
    reloaded(status) {
      if (state === 'ready') void say('READY=1', statusOf(status));
    },
    async stopping() {
      const last = state === 'ready' ? say('STOPPING=1', statusOf('stopping; the ports stay closed')) : null;
      state = 'stopping';
      await last;
    },
  };
}

/** Its socket, and how often it wants to hear of us: twice within the time after which it would end us. */
function takeManager(env: NodeJS.ProcessEnv): {
  readonly socket: string | null;
  readonly everyMs: number | null;
} {
  const { NOTIFY_SOCKET: socket = '', WATCHDOG_USEC: within = '', WATCHDOG_PID: whose } = env;
  delete env.NOTIFY_SOCKET;
  delete env.WATCHDOG_USEC;
  delete env.WATCHDOG_PID;
  const watched = (whose === undefined || whose === String(process.pid)) && /^[1-9]\d{0,17}$/u.test(within);
  return {
    socket: socket === '' ? null : socket,
    everyMs: watched ? Math.min(Math.max(Number(within) / 2000, 1), LONGEST_TIMER_MS) : null,
  };
}

function statusOf(text: string): string {
  return `STATUS=${printable(text, MOST_STATUS)}`;
}

function systemdNotify(socket: string, assignments: readonly string[]): Promise<string | null> {
  return new Promise((resolve) => {
    const child = spawn('systemd-notify', assignments, {
      env: { PATH: process.env.PATH ?? '/usr/bin:/bin', NOTIFY_SOCKET: socket },
      stdio: 'ignore',
      timeout: SEND_PATIENCE_MS,
      killSignal: 'SIGKILL',
    });
    child.once('error', (error) => {
      const absent = systemCode(error) === 'ENOENT';
      resolve(absent ? 'systemd-notify is not installed' : printable(messageOf(error)));
    });
    child.once('exit', (code, signal) => {
      const how = signal === null ? `ended with exit status ${String(code)}` : `was killed by ${signal}`;
      resolve(code === 0 ? null : `systemd-notify ${how}`);
    });
    // A stop waits for it as long as it sees fit.
    child.unref();
  });
}
