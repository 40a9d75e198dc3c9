// Whether portknockd runs as two processes, and as whom the one that reads packets does.

import { readFile, realpath } from 'node:fs/promises';
import { findAccount, USUAL_ACCOUNT, type Account } from '../config/account.ts';
import { readHostFile } from '../config/files.ts';
import type { ConfigFiles } from '../config/bundle.ts';
import type { GatewayConfig } from '../config/schema.ts';
import { KnockError, systemCode } from '../errors.ts';
import { prepareStateDir, requireReachable } from './state-dir.ts';
import { requireTrusted } from './trust.ts';

/** `account`: whom the other half runs as; `null`: there is one process for everything. */
export interface Separation {
  readonly account: Account | null;
  /** What the operator should know about it. */
  readonly warning: string | null;
}

const HOW = 'useradd --system --no-create-home --shell /usr/sbin/nologin portknock; or say user: root';
const UNPRIVILEGED = '/proc/sys/net/ipv4/ip_unprivileged_port_start';

/** Decides by the configuration and by who we are; touches nothing. @throws KnockError `ERR_CONFIG` */
export async function separationOf({ user, source }: GatewayConfig): Promise<Separation> {
  const uid = process.getuid?.();
  if (uid !== 0) {
    const isOther = user !== null && user !== 'root' && user.uid !== uid;
    return { account: null, warning: isOther ? 'user is ignored: only root can become another user' : null };
  }
  if (user === 'root') return { account: null, warning: null };
  const found = user ?? (await usualAccount());
  if (found === null)
    return { account: null, warning: `portknockd keeps root where it reads packets (${HOW})` };
  if (!('uid' in found)) return { account: null, warning: `${found.problem}; portknockd keeps root` };
  await requireMapped(found);
  if (source.kind === 'socket') await requireBindable(source.ports[0], found);
  return { account: found, warning: null };
}

/**
 * Makes the host ready for the account.
 *
 * @throws KnockError `ERR_WRITE` when it cannot get to what it needs, `ERR_CONFIG` when it may change what root goes by
 */
export async function prepareFor(
  account: Account,
  { stateDir, program, files }: { stateDir: string; program: string; files: ConfigFiles },
): Promise<void> {
  await requirePrograms(account, program);
  await prepareStateDir(stateDir, account);
  await requireTrusted(files, account);
}

/** @throws KnockError `ERR_WRITE` when the account cannot get to Node or to the program; touches nothing */
export async function requirePrograms(account: Account, program: string): Promise<void> {
  for (const [path, what] of [
    [process.execPath, 'Node'],
    [program, 'portknockd'],
  ] as const) {
    await requireReachable(path, account, what);
    // It may be a link into a home.
    await requireReachable(await realpath(path).catch(() => path), account, what);
  }
}

async function usualAccount(): Promise<Account | { readonly problem: string } | null> {
  try {
    const found = await findAccount(USUAL_ACCOUNT, readHostFile);
    if (found === 'root') return null;
    return 'problem' in found && found.problem.includes('must be') ? null : found;
  } catch {
    return null;
  }
}

/** In a user namespace only some ids exist. */
async function requireMapped({ name, uid, gid }: Account): Promise<void> {
  const isMapped = async (map: string, id: number): Promise<boolean> => {
    const text = await readFile(`/proc/self/${map}`, 'latin1').catch(() => '0 0 4294967295');
    return text.split('\n').some((line) => {
      const [first = 0, , count = 0] = line.trim().split(/\s+/u).map(Number);
      return id >= first && id < first + count;
    });
  };
  if ((await isMapped('uid_map', uid)) && (await isMapped('gid_map', gid))) return;
  const message = `user ${name} (uid ${uid}, gid ${gid}) is not mapped in this user namespace (map it, or say user: root)`;
  throw new KnockError('ERR_CONFIG', message);
}

async function requireBindable(port: number, { name }: Account): Promise<void> {
  const first = await readFile(UNPRIVILEGED, 'latin1').catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return '1024';
    throw error;
  });
  if (port >= Number(first)) return;
  const message = `socket ${port} is below ${Number(first)}, and user ${name} may not bind it (take a higher port, or interface, or say user: root)`;
  throw new KnockError('ERR_CONFIG', message);
}
