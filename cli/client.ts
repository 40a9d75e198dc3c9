// From a profile to a knocker with its memory, and to the service that is meant.

import { Knocker, type Profile } from '../lib/knocker.ts';
import { UsageError } from './args.ts';
import { tell } from './report.ts';
import { fileState } from './state.ts';

/** A knocker that remembers its last step across runs. */
export function knockerOf(profile: Profile, family: 4 | 6 | undefined): Knocker {
  const options = family === undefined ? {} : { family };
  if (profile.scheme !== 'one-time') return new Knocker(profile, options);
  const state = fileState(profile.secret, (message) => {
    tell(`portknock: ${message}`, 'yellow');
  });
  return new Knocker(profile, { ...options, state });
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
