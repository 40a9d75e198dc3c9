// Where `portknock` finds the profile: a file that nobody else can read, or the environment. A sealed one is opened.

import { isSealed, KnockError, openSealed, parseProfile, printable, type Profile } from '../lib/knocker.ts';
import { UsageError } from './args.ts';
import { withSecret, type Secret } from './password.ts';
import { readPrivate } from './private-file.ts';

/** What leads to a profile. */
export interface ProfileOptions {
  /** `-p FILE` */
  readonly profile?: string | undefined;
  /** `--password-fd N` */
  readonly passwordFd?: number | undefined;
}

/** The profile of `-p FILE`, or of PORTKNOCK_PROFILE, which is a path or the JSON text itself. */
export async function readProfile({ profile: option, passwordFd: fd }: ProfileOptions): Promise<Profile> {
  const place = option ?? process.env.PORTKNOCK_PROFILE;
  if (place === undefined || place === '') {
    throw new UsageError('profile is not given (use -p FILE, or set PORTKNOCK_PROFILE)');
  }
  const inline = option === undefined && place.trimStart().startsWith('{');
  const text = inline ? place : await readProfileFile(place);
  if (!isSealed(text)) return parseProfile(text);
  const secret = profilePassword(inline ? 'PORTKNOCK_PROFILE' : place, fd);
  return parseProfile(await withSecret(secret, (password) => openSealed(text, password)));
}

/** The text of a profile's file. @throws KnockError `ERR_PROFILE` */
export function readProfileFile(path: string): Promise<string> {
  return readPrivate({ path, what: 'profile', code: 'ERR_PROFILE' });
}

/** The password of the profile that is called `name`. */
export function profilePassword(name: string, fd: number | undefined): Secret {
  return {
    what: `password of ${printable(name, 200)}`,
    variable: 'PORTKNOCK_PASSWORD',
    fd,
    advice: 'use --password-fd N, or set PORTKNOCK_PASSWORD',
  };
}

/** @throws KnockError `ERR_PROFILE` when a text is sealed */
export function requireOpen(text: string, path: string): void {
  if (!isSealed(text)) return;
  throw new KnockError(
    'ERR_PROFILE',
    `profile is sealed already: ${printable(path, 1000)} (nothing was changed)`,
  );
}
