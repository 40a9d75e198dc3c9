// The account that portknockd's verifying half runs as (`user:`): looked up in /etc/passwd by a reader of our own, since
// Node asks nobody about names. What would give the half back what it is to be without is refused.

import { printable } from '../errors.ts';
import type { ReadHostFile } from './files.ts';
import type { Section } from './section.ts';

/** An account of this host. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  /** Its primary group. */
  readonly gid: number;
}

/** The account that is taken when it exists and none is named. */
export const USUAL_ACCOUNT = 'portknock';
/** Whom the capture process becomes (capture/live.ts): one half must not be able to reach the other. */
export const CAPTURE_UID = 65_534;

const PASSWD = '/etc/passwd';
const MOST_BYTES = 16 * 1024 * 1024;
const MOST_ID = 0xffff_fffe;

/** The account with a name, or with a number as its uid; `null` when there is none. */
export function accountIn(passwd: string, wanted: string): Account | null {
  const accounts = passwd.split('\n').flatMap((line) => accountOf(line) ?? []);
  return (
    accounts.find(({ name }) => name === wanted) ??
    accounts.find(({ uid }) => /^\d{1,10}$/u.test(wanted) && uid === Number(wanted)) ??
    null
  );
}

/**
 * The account of a configuration or of an option; `root` when it is said so, or what is wrong with it.
 *
 * @throws Node's system errors when there is no /etc/passwd to be read
 */
export async function findAccount(
  wanted: string,
  read: ReadHostFile,
): Promise<Account | 'root' | { readonly problem: string }> {
  if (wanted === 'root') return 'root';
  const account = accountIn((await read(PASSWD, MOST_BYTES)).text, wanted);
  const shown = printable(wanted, 60);
  if (account === null) {
    const advice = `useradd --system --no-create-home --shell /usr/sbin/nologin ${/^\d/u.test(shown) ? 'NAME' : shown}`;
    return { problem: `user must be an account of this host, not '${shown}' (${advice})` };
  }
  if (account.uid === 0) return { problem: `user is root by another name: '${shown}' (write root)` };
  if (account.gid === 0)
    return { problem: `user has the group of root: '${shown}' (give it a group of its own)` };
  if (account.uid === CAPTURE_UID)
    return { problem: `user is who captures already: '${shown}' (make an account for portknockd alone)` };
  return account;
}

/** The account of the key `user`; `null` when there is none, or after reporting what is wrong with it. */
export async function accountOfKey(
  root: Section,
  wanted: string | undefined,
  read: ReadHostFile,
): Promise<Account | 'root' | null> {
  if (wanted === undefined) return null;
  try {
    const found = await findAccount(wanted, read);
    if (found === 'root' || !('problem' in found)) return found;
    root.error('user', found.problem);
  } catch {
    root.error('user', `user cannot be looked up: ${PASSWD} cannot be read (check it)`);
  }
  return null;
}

/** `null` for a line that is no account: a comment, an entry of NIS, a number that is none. */
function accountOf(line: string): Account | null {
  const [name = '', , uid = '', gid = ''] = line.split(':');
  if (name === '' || /^[+#-]/u.test(name) || !/^\d{1,10}$/u.test(uid) || !/^\d{1,10}$/u.test(gid))
    return null;
  const found = { name, uid: Number(uid), gid: Number(gid) };
  return found.uid <= MOST_ID && found.gid <= MOST_ID ? found : null;
}
