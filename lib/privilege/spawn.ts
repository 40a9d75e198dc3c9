// Starts the verifying half: the same program once more, as another user, in no other group, with no capability and no way
// to get one back.

import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, constants, existsSync, openSync, realpathSync } from 'node:fs';
import { basename } from 'node:path';
import { isatty } from 'node:tty';
import type { Account } from '../config/account.ts';

/** Of util-linux; by its place, since PATH may be anybody's. */
const SETPRIV = ['/usr/bin/setpriv', '/bin/setpriv', '/usr/sbin/setpriv'];
/** What it may know of our environment. */
const KEPT = ['PATH', 'LANG', 'LC_ALL', 'TERM', 'NO_COLOR', 'FORCE_COLOR', 'DEBUG', 'TZ', 'JOURNAL_STREAM'];
/** Debugger ports are for one process. */
const DEBUGGER = /^--(?:inspect|debug)/u;

/** The process, whose fd 3 is the pipe, and whether the kernel keeps it from ever gaining a privilege. */
export interface Verifier {
  readonly process: ChildProcess;
  readonly bounded: boolean;
}

/** `program`: what Node is to run, and its arguments. */
export function startVerifier({ uid, gid }: Account, program: readonly string[]): Verifier {
  const argv = [...process.execArgv.filter((word) => !DEBUGGER.test(word)), ...program];
  const [output, errors] = [writable(1), writable(2)];
  const options = {
    stdio: ['ignore', output, errors, 'pipe', 'ipc'] as ['ignore', number, number, 'pipe', 'ipc'],
    // In a session of its own it has no terminal whose input it could write: root's shell would read that.
    detached: true,
    env: Object.fromEntries(
      KEPT.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
    ),
    serialization: 'json' as const,
  };
  const setpriv = SETPRIV.find(isSetpriv);
  const words = [
    ...['--reuid', String(uid), '--regid', String(gid), '--clear-groups', '--no-new-privs'],
    ...['--inh-caps', '-all', '--bounding-set', '-all', '--pdeathsig', 'KILL', '--'],
    ...[process.execPath, ...argv],
  ];
  const child =
    setpriv === undefined
      ? // libuv gives up the groups as well, and the change of user takes the capabilities.
        spawn(process.execPath, argv, { ...options, uid, gid })
      : spawn(setpriv, words, options);
  for (const fd of [output, errors]) if (fd > 2) closeSync(fd);
  return { process: child, bounded: setpriv !== undefined };
}

/** A terminal is open for reading as well: for what is typed there, the other half gets it anew. */
function writable(fd: 1 | 2): number {
  if (!isatty(fd)) return fd;
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NOCTTY);
  } catch {
    return fd;
  }
}

/** Busybox has one that can do less. */
function isSetpriv(path: string): boolean {
  return existsSync(path) && basename(realpathSync(path)) === 'setpriv';
}
