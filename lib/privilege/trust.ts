// What root goes by must not be for the verifying half to change: whoever has taken that one over would write root's next
// configuration, and a configuration names programs.

import { realpath, stat } from 'node:fs/promises';
import type { Stats } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Account } from '../config/account.ts';
import type { ConfigFiles } from '../config/bundle.ts';
import { KnockError, printable } from '../errors.ts';

const STICKY = 0o1000;

/** @throws KnockError `ERR_CONFIG` when the account may change a file of the configuration, or put another in its place */
export async function requireTrusted({ configs, files }: ConfigFiles, account: Account): Promise<void> {
  for (const path of [...Object.keys(configs), ...Object.keys(files)]) {
    const named = resolve(path);
    const real = await realpath(named).catch(() => named);
    for (const place of new Set([...wayTo(named), ...wayTo(real)])) {
      const found = await stat(place).catch(() => null);
      if (found === null || !mayChange(found, account)) continue;
      const [file, shown] = [printable(named, 1000), printable(place, 1000)];
      throw new KnockError(
        'ERR_CONFIG',
        `${file} is not root's alone: user ${account.name} may change ${shown} (chown root: ${shown}; chmod go-w ${shown}; state_dir has to be another directory)`,
      );
    }
  }
}

/** The file and all directories that it is in. */
function wayTo(path: string): readonly string[] {
  const above = dirname(path);
  return above === path ? [path] : [path, ...wayTo(above)];
}

function mayChange({ uid, gid, mode }: Stats, account: Account): boolean {
  if (uid === account.uid) return true;
  if (gid === account.gid && (mode & 0o020) !== 0) return true;
  return (mode & 0o002) !== 0 && (mode & STICKY) === 0;
}
