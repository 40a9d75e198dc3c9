// The state directory belongs to the verifying half, which alone writes there. One that is still root's is handed over
// once, with the files that we know; after that nothing in it is touched with root's rights, for its owner may put there
// what they like.

import { chown, lchown, lstat, mkdir, readdir, realpath, stat } from 'node:fs/promises';
import type { Stats } from 'node:fs';
import { dirname, join, parse } from 'node:path';
import type { Account } from '../config/account.ts';
import { KnockError, messageOf, printable, systemCode } from '../errors.ts';

/** What portknockd keeps there, and what it leaves when it is killed. */
const OURS = /^(?:replay|grants)(?:\.new|\.lock\.[0-9a-f.]{1,80})?$|^portknockd\.sock$/u;
const OTHERS_MAY_WRITE = 0o022;

/** Makes the directory, or hands it over. @throws KnockError `ERR_WRITE` */
export async function prepareStateDir(path: string, account: Account): Promise<void> {
  try {
    await requireReachable(path, account, 'state_dir');
    await mkdir(dirname(path), { recursive: true, mode: 0o755 });
    const isNew = await mkdir(path, { mode: 0o700 }).then(
      () => true,
      (error: unknown) => {
        if (systemCode(error) === 'EEXIST') return false;
        throw error;
      },
    );
    if (isNew) await lchown(path, account.uid, account.gid);
    else await handOver(path, account);
  } catch (error) {
    if (error instanceof KnockError) throw error;
    // Root without CAP_CHOWN, in a container.
    const isKept = systemCode(error) === 'EPERM';
    const advice = isKept ? `chown -R ${account.name}: it first` : 'check state_dir';
    throw refused(path, printable(messageOf(error)), advice);
  }
}

/** @throws KnockError `ERR_WRITE` when a directory on the way to `path` is closed to the account */
export async function requireReachable(path: string, account: Account, what: string): Promise<void> {
  const closed = await firstClosed(path, account);
  if (closed === null) return;
  const shown = printable(closed, 1000);
  throw new KnockError(
    'ERR_WRITE',
    `${what} is out of reach for user ${account.name}: ${shown} is closed to it (chmod o+x ${shown}, choose another place, or say user: root)`,
  );
}

async function handOver(path: string, { name, uid, gid }: Account): Promise<void> {
  const folder = await stat(path);
  if (!folder.isDirectory()) throw refused(path, 'it is no directory', 'move it away');
  if (folder.uid === uid) return;
  const owner = `it belongs to uid ${folder.uid}`;
  if (folder.uid !== 0) throw refused(path, owner, `chown -R ${name}: it, or give this gateway its own`);
  if ((folder.mode & OTHERS_MAY_WRITE) !== 0) throw refused(path, 'others may write to it', 'chmod go-w it');
  const held = await Promise.all(
    (await readdir(path)).map(async (file) => ({ file, found: await lstat(join(path, file)) })),
  );
  // Whoever has the directory can put something else in their place.
  const other = held.find(({ file, found }) => !OURS.test(file) && !found.isSocket())?.file;
  if (other !== undefined) {
    const problem = `it holds other files as well: ${printable(other)}`;
    throw refused(path, problem, `choose an empty place; or, if ${name} may have them, chown ${name}: it`);
  }
  for (const { file, found } of held) {
    if (!OURS.test(file)) continue;
    // A second name elsewhere would be handed over as well.
    if ((found.isFile() && found.nlink === 1) || found.isSocket()) await lchown(join(path, file), uid, gid);
  }
  // Last: until now nobody but root could put anything there.
  await chown(path, uid, gid);
}

/** The first directory on the way that the account may not pass; those that are missing are made later. */
async function firstClosed(path: string, account: Account): Promise<string | null> {
  const whole = await realpath(dirname(path)).catch(() => dirname(path));
  const { root } = parse(whole);
  let place = root;
  for (const name of ['', ...whole.slice(root.length).split('/')]) {
    place = join(place, name);
    const found = await stat(place).catch(() => null);
    if (found === null) return null;
    if (!mayPass(found, account)) return place;
  }
  return null;
}

function mayPass({ mode, uid, gid }: Stats, account: Account): boolean {
  if (uid === account.uid) return (mode & 0o100) !== 0;
  if (gid === account.gid) return (mode & 0o010) !== 0;
  return (mode & 0o001) !== 0;
}

function refused(path: string, problem: string, advice: string): KnockError {
  const shown = printable(path, 1000);
  return new KnockError('ERR_WRITE', `state_dir cannot be used: ${shown}: ${problem} (${advice})`);
}
