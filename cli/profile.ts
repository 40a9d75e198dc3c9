// Where `portknock` finds the profile: a file that nobody else can read, or the environment.

import { open } from 'node:fs/promises';
import { KnockError, parseProfile, printable, systemCode, type Profile } from '../lib/knocker.ts';
import { UsageError } from './args.ts';

/** The profile of `-p FILE`, or of PORTKNOCK_PROFILE, which is a path or the JSON text itself. */
export async function readProfile(option: string | undefined): Promise<Profile> {
  const place = option ?? process.env.PORTKNOCK_PROFILE;
  if (place === undefined || place === '') {
    throw new UsageError('profile is not given (use -p FILE, or set PORTKNOCK_PROFILE)');
  }
  if (option === undefined && place.trimStart().startsWith('{')) return parseProfile(place);
  return parseProfile(await readPrivate(place));
}

async function readPrivate(path: string): Promise<string> {
  const shown = printable(path, 1000);
  try {
    const handle = await open(path, 'r');
    try {
      const { mode } = await handle.stat();
      if ((mode & 0o077) !== 0) {
        throw new KnockError('ERR_PROFILE', `profile can be read by others: ${shown} (chmod 600 ${shown})`);
      }
      return await handle.readFile('utf8');
    } finally {
      await handle.close();
    }
  } catch (cause) {
    if (cause instanceof KnockError) throw cause;
    const why = systemCode(cause) === 'ENOENT' ? 'there is no such file' : printable(systemCode(cause));
    throw new KnockError('ERR_PROFILE', `profile cannot be read: ${shown}: ${why} (check the path)`, {
      cause,
    });
  }
}
