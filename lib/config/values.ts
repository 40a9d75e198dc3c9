// The kinds of values in a configuration, as valibot schemas: each refuses with its rule, what was got, and what to do.

import * as v from 'valibot';
import { formatAddress, parseAddress } from '../address.ts';
import { parseDuration } from '../duration.ts';
import { printable } from '../errors.ts';
import { isTarget, type Target } from '../firewall/driver.ts';
import { parseKnockPort } from '../scheme/sequence.ts';

/** A value that `parse` understands; `null` from it means no. `advice` stands in parentheses at the end. */
export function value<T>(rule: string, advice: string, parse: (input: unknown) => T | null) {
  return v.pipe(
    v.unknown(),
    v.rawTransform<unknown, T>(({ dataset, addIssue, NEVER }) => {
      const parsed = parse(dataset.value);
      if (parsed !== null) return parsed;
      addIssue({ message: `${rule}, not ${shown(dataset.value)} (${advice})` });
      return NEVER;
    }),
  );
}

/** A whole number from `low` to `high`. */
export function whole(name: string, low: number, high: number, advice = 'write a number in that range') {
  return value(`${name} must be a whole number from ${low} to ${high}`, advice, (input) =>
    typeof input === 'number' && Number.isInteger(input) && input >= low && input <= high ? input : null,
  );
}

/** A port number. */
export function port(name: string) {
  return whole(name, 1, 65535, 'write a port number');
}

/** One of some words. */
export function oneOf<const T extends readonly (string | boolean)[]>(name: string, words: T) {
  return value<T[number]>(`${name} must be ${either(words)}`, 'write one of them', (input) =>
    words.includes(input as T[number]) ? (input as T[number]) : null,
  );
}

/** Text of at least one character that fits `pattern`. */
export function text(name: string, rule: string, pattern: RegExp, advice: string) {
  return value(`${name} must be ${rule}`, advice, (input) =>
    typeof input === 'string' && pattern.test(input) ? input : null,
  );
}

/** A path: text without control characters. */
export function path(name: string) {
  return text(name, 'a path', /^[^\p{Cc}]+$/u, 'write the path of a file');
}

/** A length of time, as milliseconds. */
export function duration(
  name: string,
  { lowMs, highMs, stepMs }: { lowMs: number; highMs: number; stepMs: number },
) {
  const unit = stepMs === 1000 ? 'whole seconds' : 'a length of time';
  return value(
    `${name} must be ${unit}, ${lowMs / 1000} s or more and ${limit(highMs)}`,
    'write it as 30s, 2m or 1h',
    (input) => {
      const ms = parseDuration(input);
      return ms !== null && ms >= lowMs && ms <= highMs && ms % stepMs === 0 ? ms : null;
    },
  );
}

/** `20000-52767`, or one port for a range of one. */
export function portRange(name: string) {
  return value(`${name} must be a port or a range of ports`, 'write it as 20000-52767', parsePortRange);
}

/** `7000/tcp`, `9000/udp`, or a number (tcp). */
export const knockPort = value(
  'sequence entry must be a port with its protocol',
  'write it as 7000/tcp or 9000/udp',
  (input) => (typeof input === 'string' || typeof input === 'number' ? parseKnockPort(String(input)) : null),
);

/** `10.0.0.5:22`, `[fd00::5]:22`: a host behind the gateway. */
export const target = value<Target>(
  'to must be the address and the port of a host behind the gateway',
  'write it as 10.0.0.5:22 or "[fd00::5]:22", quoted',
  parseTarget,
);

/** Connections that one knock admits. */
export const connections = value<number | 'unlimited'>(
  'connections must be a whole number from 1 to 16, or unlimited',
  'write 1 unless clients need more at once',
  (input) => {
    if (input === 'unlimited') return input;
    return typeof input === 'number' && Number.isInteger(input) && input >= 1 && input <= 16 ? input : null;
  },
);

/** Base64 text of a secret; what it is like is checked where the secret is read, so that it is never shown. */
export function secretText(name: string) {
  return v.string(`${name} must be base64 text (quote it, or keep it in a file of its own)`);
}

/** A list with at least one entry. */
export function list<T extends v.GenericSchema<unknown, unknown>>(name: string, entry: T, advice: string) {
  const message = `${name} must be a list with at least one entry (${advice})`;
  return v.pipe(v.array(entry, message), v.minLength(1, message));
}

/** A program and its arguments. */
export function argv(name: string) {
  const word = text(`${name} entry`, 'text', /^/u, 'quote it');
  return list(name, word, 'a program, then its arguments: no shell reads them');
}

/** One value, or a list of one up to `most`. */
export function oneOrMore<T extends v.GenericSchema<unknown, unknown>>(
  entry: T,
  { name, most, advice }: { name: string; most: number; advice: string },
) {
  const message = `${name} must be one, or a list of 1 to ${most} (${advice})`;
  const many = v.pipe(v.array(entry, message), v.minLength(1, message), v.maxLength(most, message));
  return v.lazy((input) => (Array.isArray(input) ? many : entry));
}

/** `20000-52767` or `20000`. */
export function parsePortRange(input: unknown): readonly [low: number, high: number] | null {
  const parts = /^(\d{1,5})(?:-(\d{1,5}))?$/u.exec(
    typeof input === 'number' ? String(input) : typeof input === 'string' ? input : '',
  );
  if (parts === null) return null;
  const low = Number(parts[1]);
  const high = Number(parts[2] ?? parts[1]);
  return low >= 1 && low <= high && high <= 65535 ? [low, high] : null;
}

function parseTarget(input: unknown): Target | null {
  const parts = typeof input === 'string' ? /^(?:\[([^\]]+)\]|([\d.]+)):(\d{1,5})$/u.exec(input) : null;
  const address = parseAddress(parts?.[1] ?? parts?.[2] ?? '');
  if (address === null) return null;
  const found = { host: formatAddress(address), port: Number(parts?.[3]) };
  return isTarget(found) && (address.family === 6) === (parts?.[1] !== undefined) ? found : null;
}

function either(words: readonly (string | boolean)[]): string {
  return `${words.slice(0, -1).join(', ')} or ${String(words.at(-1))}`;
}

function limit(highMs: number): string {
  return highMs >= 86_399_000 ? 'less than a day' : `at most ${highMs / 1000} s`;
}

/** The value as JSON, escaped: what stands in the file is text from outside. */
function shown(input: unknown): string {
  if (input === null || input === undefined) return 'nothing';
  return printable(JSON.stringify(input), 60);
}
