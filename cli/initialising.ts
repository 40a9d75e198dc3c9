// What `portknock init` does about the account of the half without rights: root makes it, and gives it the state.

import { dirname } from 'node:path';
import { printable, systemCode } from '../lib/knocker.ts';
import { ACCOUNT_NAME, accountCommand, ensureAccount, giveTo, type Account } from './account.ts';
import { UsageError } from './args.ts';
import { tell } from './report.ts';

const USUAL_ACCOUNT = 'portknock';

/**
 * The account for a new configuration at `path`; `null`: everything runs as whoever starts it, which is also what a host
 * gets that cannot make one.
 *
 * @throws UsageError for a name that no account can have
 */
export async function accountFor(named: string | undefined, path: string): Promise<Account | null> {
  const isRoot = process.getuid?.() === 0;
  const name = named ?? (isRoot ? USUAL_ACCOUNT : 'root');
  if (!ACCOUNT_NAME.test(name))
    throw new UsageError(`--user must be the name of an account, not '${name}' (as in portknock)`);
  if (name === 'root') return null;
  const found = await ensureAccount(name);
  if (typeof found !== 'string' && found.uid !== 0) {
    if (found.made) tell(`made the system account ${name}, which portknockd's half without rights runs as`);
    return found;
  }
  const why = typeof found === 'string' ? found : 'it is root by another name';
  tell(
    `there is no account ${name}: ${why}; the configuration goes without, and everything runs as root`,
    'yellow',
  );
  tell(
    `to have one: ${accountCommand(name).join(' ')}, and user: ${name} in ${printable(path, 1000)}`,
    'yellow',
  );
  return null;
}

/** Gives the account the new state, and its folder; `files` is what createConfig made. */
export async function handOver(account: Account, [, , replay]: readonly string[]): Promise<void> {
  // State that was there before may be in use: it stays whose it is.
  if (replay === undefined) return;
  try {
    await giveTo(account, [dirname(replay), replay]);
  } catch (error) {
    const folder = printable(dirname(replay), 1000);
    tell(
      `${folder} cannot be given to ${account.name}: ${printable(systemCode(error))} (run as root)`,
      'yellow',
    );
  }
}
