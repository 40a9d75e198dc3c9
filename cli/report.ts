// What the programs print: results and events on stdout, words for people on stderr, everything from outside escaped,
// and which exit code a failure gets.

import { styleText } from 'node:util';
import { isKnockError, messageOf, printable } from '../lib/knocker.ts';
import { UsageError } from './args.ts';
import { writeOut } from './output.ts';

export const EXIT_DONE = 0;
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 2;

/** Failures that somebody has to set right before another try makes sense. */
const CONFIGURATION = new Set([
  'ERR_CONFIG',
  'ERR_PROFILE',
  'ERR_KEY',
  'ERR_PASSWORD',
  'ERR_AGENT',
  'ERR_PCAP_ABSENT',
  'ERR_PCAP_UNBUILT',
  'ERR_CAPTURE_PERMISSION',
  'ERR_CAPTURE_INTERFACE',
  'ERR_FIREWALL_MISSING',
  'ERR_FIREWALL_PERMISSION',
  'ERR_FIREWALL_COMMAND',
  'ERR_FIREWALL_UNSUPPORTED',
  'ERR_REPLAY_UNREADABLE',
]);

type Style = 'red' | 'yellow';
type Field = string | number | boolean | readonly string[] | undefined;

/** What a program's events and their fields become. */
export type EventLog = (event: string, fields: Readonly<Record<string, Field>>) => void;

/** A result, for stdout. */
export function print(text: string): void {
  writeOut(`${safe(text)}\n`);
}

/** A line for people, on stderr. */
export function tell(text: string, style?: Style): void {
  const plain = safe(text);
  const coloured = style !== undefined && process.stderr.isTTY && process.env.NO_COLOR === undefined;
  process.stderr.write(`${coloured ? styleText(style, plain) : plain}\n`);
}

/** Reports why a program cannot go on; returns its exit code. */
export function fail(program: string, error: unknown): number {
  const code = exitCodeOf(error);
  // A configuration's lines start with their own file:line:column, for editors to jump to.
  const prefix = isKnockError(error) && error.code === 'ERR_CONFIG' ? '' : `${program}: `;
  for (const line of messageOf(error).split('\n')) tell(prefix + line, 'red');
  return code;
}

/** One event a line: objects for machines, words for people. */
export function eventLog(format: 'text' | 'json'): EventLog {
  return (event, fields) => {
    const time = new Date().toISOString();
    const given = Object.entries(fields).filter(([, value]) => value !== undefined);
    if (format === 'json') {
      writeOut(`${asciiJson({ time, event, ...Object.fromEntries(given) })}\n`);
      return;
    }
    const words = given.flatMap(([name, value]) => (name === 'message' ? [] : [`${name}=${String(value)}`]));
    // A configuration has a line for each of its problems.
    for (const message of String(fields.message ?? '').split('\n')) {
      line(event, [time, event, ...words, ...(message === '' ? [] : [message])].join(' '));
    }
  };
}

function line(event: string, text: string): void {
  if (event === 'warning') tell(text, 'yellow');
  else if (event === 'error') tell(text, 'red');
  else print(text);
}

/** JSON of printable ASCII only: a terminal takes it as text, a parser as the same value. */
export function asciiJson(value: unknown): string {
  // Without the u flag: JSON escapes UTF-16 units.
  return JSON.stringify(value).replace(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return EXIT_USAGE;
  return isKnockError(error) && CONFIGURATION.has(error.code) ? EXIT_USAGE : EXIT_FAILED;
}

/** Messages are escaped where they are made; what is not, is here. */
function safe(line: string): string {
  return /^[\x20-\x7e]*$/u.test(line) ? line : printable(line, 4000);
}
