// From a command line to a knocker: its profile, its memory, who signs; what the library takes for its caller's mistake
// is a mistake on the command line.

import { Knocker, type KnockerOptions, type Profile } from '../lib/knocker.ts';
import { familyOption, UsageError } from './args.ts';
import { identityOf } from './identity.ts';
import { fdOption } from './password.ts';
import { readProfile } from './profile.ts';
import { tell } from './report.ts';
import { fileState, type FileState } from './state.ts';

/** The options of every command that knocks, {@link KNOCK}. */
export interface KnockValues {
  readonly profile?: string;
  readonly identity?: string;
  readonly 'password-fd'?: string;
  readonly source?: string;
  readonly ipv4?: boolean;
  readonly ipv6?: boolean;
}

/** Somebody who can knock. */
export interface Client {
  readonly profile: Profile;
  readonly knocker: Knocker;
  /** What says that this computer's clock is wrong: its last knock is from the future. */
  readonly clockWarning: () => Promise<string | null>;
}

/** What the gateway lets a knock be ahead. */
const BELIEVED_AHEAD_MS = 30_000;

/** The profile that is meant. @throws UsageError, KnockError `ERR_PROFILE`, `ERR_PASSWORD` */
export async function profileOf(values: KnockValues): Promise<Profile> {
  const passwordFd = fdOption(values['password-fd']);
  return readProfile({ profile: values.profile, passwordFd });
}

/** Whoever knocks with this profile. @throws UsageError, KnockError `ERR_PASSWORD`, `ERR_KEY` */
export async function clientOf(profile: Profile, values: KnockValues): Promise<Client> {
  const family = familyOption(values);
  const state = stateOf(profile);
  const signer = await identityOf(profile, values.identity);
  const options: KnockerOptions = {
    ...(family === undefined ? {} : { family }),
    ...(state === null ? {} : { state }),
    ...(signer === undefined ? {} : { signer }),
    ...(values.source === undefined ? {} : { source: values.source }),
  };
  const knocker = withSource(() => new Knocker(profile, options));
  return { profile, knocker, clockWarning: () => clockWarning(profile, state) };
}

/** The service that was asked for; without one, the only one there is. */
export function serviceOf(
  { services }: Profile,
  service: string | undefined,
  wait: boolean,
): string | undefined {
  const names = Object.keys(services);
  if (service !== undefined ? Object.hasOwn(services, service) : !wait || names.length === 1) return service;
  const got = service === undefined ? 'none was given' : `not '${service}'`;
  throw new UsageError(`service must be one of ${names.join(', ')}, ${got}`);
}

/** The library judges sources; for it, a bad one is its caller's mistake. */
function withSource<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (error instanceof TypeError && error.message.startsWith('source ')) {
      throw new UsageError(`--${error.message}`);
    }
    throw error;
  }
}

function stateOf(profile: Profile): FileState | null {
  if (profile.scheme === 'sequence' || profile.scheme === 'fwknop') return null;
  return fileState(profile, (message) => {
    tell(`portknock: ${message}`, 'yellow');
  });
}

async function clockWarning(profile: Profile, state: FileState | null): Promise<string | null> {
  const last = profile.scheme === 'spa' ? await state?.load() : undefined;
  const behindMs = Number((last ?? 0n) >> 16n) - Date.now();
  if (state === null || behindMs <= BELIEVED_AHEAD_MS) return null;
  const seconds = Math.round(behindMs / 1000);
  const advice = `set it right; if it was ahead when that knock was sent, remove ${state.path}`;
  return `this computer's clock is ${seconds} s behind its last knock (${advice})`;
}
