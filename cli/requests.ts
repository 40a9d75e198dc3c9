// What a request over the control socket may look like: each command says which fields it takes and what each must be;
// anything else is refused before the command sees it.

import { printable } from '../lib/knocker.ts';

/** A request's own fields. */
export type Request = Readonly<Record<string, unknown>>;

/** What a field must be. */
export interface Field {
  readonly rule: string;
  readonly fits: (value: unknown) => boolean;
  /** Whether it may be left out. */
  readonly optional?: true;
}

export type Fields = Readonly<Record<string, Field>>;

/** A whole id, or its beginning. */
export const GRANT_ID: Field = {
  rule: '4 to 64 of a-z and 0-9',
  fits: (value) => typeof value === 'string' && /^[a-z0-9]{4,64}$/u.test(value),
};

export const FLAG: Field = {
  rule: 'true or false',
  fits: (value) => typeof value === 'boolean',
  optional: true,
};

/** Why a request cannot be taken, or null. */
export function requestFault(command: string, fields: Fields, request: Request): string | null {
  const stranger = Object.keys(request).find((key) => key !== 'command' && !Object.hasOwn(fields, key));
  if (stranger !== undefined) return `${command} takes no '${printable(stranger, 40)}'`;
  for (const [name, { rule, fits, optional }] of Object.entries(fields)) {
    if (!Object.hasOwn(request, name)) {
      if (optional === true) continue;
      return `${name} of ${command} is missing`;
    }
    if (!fits(request[name])) return `${name} of ${command} must be ${rule}`;
  }
  return null;
}
