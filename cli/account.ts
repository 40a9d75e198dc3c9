// The system account without rights that the daemon's unprivileged half runs as: looked up, and made where it is missing.

import { execFile } from 'node:child_process';
import { chown } from 'node:fs/promises';
import { messageOf, printable, systemCode } from '../lib/knocker.ts';

/** Who owns what the unprivileged half writes. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  /** It was not there before. */
  readonly made: boolean;
}

/** What useradd(8) takes by its default rules. */
export const ACCOUNT_NAME = /^[a-z_][a-z0-9_-]{0,30}$/u;

/** Nobody logs in as it, and it owns no home. */
export function accountCommand(name: string): readonly [string, ...string[]] {
  const nothing = ['--no-create-home', '--home-dir', '/nonexistent', '--shell', '/usr/sbin/nologin'];
  return ['useradd', '--system', '--user-group', ...nothing, name];
}

/** The account with this name, made if it was missing; or in words why there is none. */
export async function ensureAccount(name: string): Promise<Account | string> {
  const before = await lookUp(name);
  if (before !== null) return { ...before, name, made: false };
  const [program, ...args] = accountCommand(name);
  const problem = await start(program, args).then(() => null, complaintOf);
  const after = await lookUp(name);
  if (after !== null) return { ...after, name, made: true };
  return problem ?? `${program} made none`;
}

/** Gives files to the account. @throws system errors */
export async function giveTo({ uid, gid }: Account, paths: readonly string[]): Promise<void> {
  for (const path of paths) await chown(path, uid, gid);
}

async function lookUp(name: string): Promise<{ uid: number; gid: number } | null> {
  try {
    const uid = Number(await start('id', ['-u', name]));
    const gid = Number(await start('id', ['-g', name]));
    return Number.isSafeInteger(uid) && Number.isSafeInteger(gid) ? { uid, gid } : null;
  } catch {
    return null;
  }
}

/** What the program prints. A login's PATH need not have the folders of administration's programs. */
function start(program: string, args: readonly string[]): Promise<string> {
  // An empty entry would be the current folder.
  const given = (process.env.PATH ?? '').split(':').filter((folder) => folder !== '');
  const env = { PATH: [...given, '/usr/sbin', '/usr/bin', '/sbin', '/bin'].join(':'), LC_ALL: 'C' };
  return new Promise((resolve, reject) => {
    execFile(program, args, { env, timeout: 10_000 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout.trim());
      else reject(systemCode(error) === 'ENOENT' ? error : new Error(lastLine(stderr) || messageOf(error)));
    });
  });
}

function complaintOf(error: unknown): string {
  if (systemCode(error) === 'ENOENT') return 'useradd is not installed';
  return printable(messageOf(error), 200);
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}
