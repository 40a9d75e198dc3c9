// The values of a profile, checked by hand, because the light entry loads no validation library. A profile holds a
// secret: no message here ever repeats a value of it.

import { isIP } from 'node:net';
import { parseBase64 } from '../base64.ts';
import { KnockError, printable } from '../errors.ts';

export type Fields = Readonly<Record<string, unknown>>;

export function fieldsOf(text: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's own message quotes the text, which holds a secret.
    refuse('the text is not JSON');
  }
  return isFields(value) ? value : refuse('the text is not a JSON object');
}

export function hostOf(name: string, host: unknown): string {
  if (
    typeof host !== 'string' ||
    (isIP(host) === 0 && !/^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})$/u.test(host))
  ) {
    refuse(`${name} must be a host name or an address`);
  }
  return host;
}

export function nameOf(client: unknown): string {
  if (typeof client !== 'string' || !/^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/u.test(client)) {
    refuse('client must be a name of letters, digits, dot, dash, underscore and at sign, at most 64');
  }
  return client;
}

export function servicesOf(services: unknown): Readonly<Record<string, number>> {
  if (!isFields(services) || Object.keys(services).length === 0)
    refuse('services must name at least one port');
  const ports: Record<string, number> = {};
  for (const [name, port] of Object.entries(services)) {
    if (!/^[a-z0-9][a-z0-9-]{0,31}$/u.test(name)) refuse(`service name is bad: '${printable(name, 40)}'`);
    ports[name] = whole(`port of service ${name}`, port, 1, 65535);
  }
  return ports;
}

export function whole(name: string, value: unknown, low: number, high: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < low || value > high) {
    refuse(`${name} must be a whole number from ${low} to ${high}`);
  }
  return value;
}

/** The bytes of a secret, which stands there as base64. */
export function secretOf(name: string, text: unknown, [least, most]: readonly [number, number]): Uint8Array {
  const secret = typeof text === 'string' ? parseBase64(text) : null;
  if (secret !== null && secret.length >= least && secret.length <= most) return secret;
  return refuse(`${name} must be base64 of ${least === most ? `${least}` : `${least} to ${most}`} bytes`);
}

/** How {@link secretOf} reads it. */
export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function refuse(problem: string): never {
  throw new KnockError(
    'ERR_PROFILE',
    `profile cannot be used: ${problem} (write it anew with portknock add-client)`,
  );
}
