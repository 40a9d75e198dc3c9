// The one place that starts firewall programs: an argv array, no shell, a small fixed environment, a time limit.

import { spawn, type ChildProcess } from 'node:child_process';
import { KnockError, messageOf, printable, systemCode } from '../errors.ts';

export interface RunOptions {
  /** Written to the program's standard input. */
  readonly input?: string;
  /** Killed after this long, with what it started itself; 10,000 ms unless said. */
  readonly timeoutMs?: number;
  /** What to do when there is no such program. */
  readonly ifMissing?: string;
}

/** How a program ended. */
export interface Ended {
  /** Its exit status, or in words why it has none. */
  readonly status: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

/** Far above any ruleset of ours; what a program prints beyond it is cut. */
const OUTPUT_LIMIT = 16 * 1024 * 1024;
/** For what a program printed last, once it has ended. */
const DRAIN_MS = 1000;

/**
 * Runs a program to its end and returns its standard output.
 *
 * @throws KnockError `ERR_FIREWALL_MISSING` when there is no such program, `ERR_FIREWALL_PERMISSION`,
 *   `ERR_FIREWALL_COMMAND` with its first line of complaint when it fails or takes too long
 */
export async function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const { status, stdout, stderr } = await attempt(program, args, options);
  if (status === 0) return stdout;
  const ended = typeof status === 'number' ? `exit status ${status}` : status;
  const complaint = stderr.split('\n').find((line) => line.trim() !== '') ?? ended;
  if (/permission denied|you must be root|operation not permitted/iu.test(stderr)) {
    throw new KnockError(
      'ERR_FIREWALL_PERMISSION',
      `${program} may not change the firewall: ${printable(complaint)} (run as root)`,
    );
  }
  throw new KnockError('ERR_FIREWALL_COMMAND', `${program} failed: ${printable(complaint)}`);
}

/**
 * Runs a program to its end, whatever that is.
 *
 * @throws KnockError `ERR_FIREWALL_MISSING` when there is no such program, `ERR_FIREWALL_COMMAND` when it cannot be
 *   started
 */
export function attempt(
  program: string,
  args: readonly string[],
  { input = '', timeoutMs = 10_000, ifMissing }: RunOptions = {},
): Promise<Ended> {
  return new Promise((resolve, reject) => {
    // A process group of its own: what it starts itself can be killed with it.
    const child = spawn(program, args, {
      env: environment(),
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    });
    // Without free file descriptors it has not even pipes, and an error that nobody awaits would end us.
    if (!hasPipes(child)) {
      child.once('error', (error) => {
        reject(cannotStart(program, error, ifMissing));
      });
      return;
    }
    const read = collect(child.stdout);
    const complain = collect(child.stderr);
    let late = false;
    let drain: NodeJS.Timeout | undefined;
    const limit = setTimeout(() => {
      late = true;
      killGroup(child);
    }, timeoutMs);
    child.once('error', (error) => {
      clearTimeout(limit);
      reject(cannotStart(program, error, ifMissing));
    });
    const letGo = (): void => {
      child.stdout.destroy();
      child.stderr.destroy();
    };
    child.once('exit', (_code, signal) => {
      clearTimeout(limit);
      // What it had started itself may live on and hold the pipes open.
      if (signal === null) drain = setTimeout(letGo, DRAIN_MS);
      else letGo();
    });
    child.once('close', (code, signal) => {
      clearTimeout(drain);
      const ended = late ? `no answer within ${timeoutMs} ms` : `killed by ${signal ?? 'a signal'}`;
      resolve({ status: late ? ended : (code ?? ended), stdout: read(), stderr: complain() });
    });
    // A program that does not read its input is judged by its exit status.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
  });
}

/** A program that keeps running and is talked to. */
export interface Dialogue {
  write(text: string): void;
  /** Whether it keeps this process alive; at first it does. */
  hold(alive: boolean): void;
  /** Closes its standard input. */
  end(): void;
  kill(): void;
}

/** What a {@link Dialogue} hears. */
export interface DialogueListener {
  output(chunk: Buffer): void;
  complaint(chunk: Buffer): void;
  /** Once, when it has ended, could not be started or takes no more input, with the reason. */
  ended(reason: KnockError): void;
}

/** Starts a program that is talked to until it ends; it ends with this process, because its standard input does. */
export function converse(
  program: string,
  {
    args,
    env,
    ifMissing,
  }: { readonly args: readonly string[]; readonly env: Record<string, string>; readonly ifMissing?: string },
  listener: DialogueListener,
): Dialogue {
  const child = spawn(program, args, { env: { ...environment(), ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
  let over = false;
  const end = (reason: KnockError): void => {
    if (over) return;
    over = true;
    listener.ended(reason);
  };
  const failed = (how: string): KnockError => new KnockError('ERR_FIREWALL_COMMAND', `${program} ${how}`);
  child.once('error', (error) => {
    end(cannotStart(program, error, ifMissing));
  });
  if (!hasPipes(child)) return MUTE;
  child.stdout.on('data', (chunk: Buffer) => {
    listener.output(chunk);
  });
  child.stderr.on('data', (chunk: Buffer) => {
    listener.complaint(chunk);
  });
  child.stdin.on('error', () => {
    end(failed('takes no more input'));
  });
  child.once('exit', (code, signal) => {
    end(failed(signal === null ? `ended with exit status ${String(code)}` : `was killed by ${signal}`));
  });
  return {
    write: (text) => {
      child.stdin.write(text);
    },
    hold: (alive) => {
      // Pipes to a child are sockets, which Node's types do not say.
      for (const part of [child, ...child.stdio] as readonly ({ ref?(): void; unref?(): void } | null)[]) {
        if (alive) part?.ref?.();
        else part?.unref?.();
      }
    },
    end: () => {
      child.stdin.end();
    },
    kill: () => {
      // Node signals process group 0, our own, in place of a process that could not be started.
      if (child.pid !== undefined) child.kill('SIGKILL');
    },
  };
}

/** With a program that could not even be given pipes. */
const MUTE: Dialogue = {
  write: () => undefined,
  hold: () => undefined,
  end: () => undefined,
  kill: () => undefined,
};

/** Node's types do not know of a spawn() that failed for want of file descriptors (EMFILE, ENFILE). */
function hasPipes(child: { readonly stdin?: unknown }): boolean {
  return child.stdin !== undefined;
}

function environment(): Record<string, string> {
  return { PATH: process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };
}

function killGroup({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has just ended.
  }
}

function cannotStart(
  program: string,
  error: Error,
  ifMissing = 'install the Debian package iptables',
): KnockError {
  return systemCode(error) === 'ENOENT'
    ? new KnockError('ERR_FIREWALL_MISSING', `${program} is not installed (${ifMissing})`, { cause: error })
    : new KnockError('ERR_FIREWALL_COMMAND', `${program} cannot be started: ${messageOf(error)}`, {
        cause: error,
      });
}

function collect(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  let size = 0;
  stream.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= OUTPUT_LIMIT) chunks.push(chunk);
  });
  return () => Buffer.concat(chunks).toString('utf8');
}
