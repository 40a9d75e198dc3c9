// What the programs print: results and events on stdout, words for people on stderr, everything from outside escaped,
// and which exit code a failure gets.

import { styleText } from 'node:util';
import { isKnockError, messageOf, printable } from '../lib/knocker.ts';
import { UsageError } from './args.ts';
import type { EventLog, EventName } from './events.ts';
import { asciiJson, priorityMark, textLines } from './log-line.ts';
import { writeOut } from './output.ts';

export { asciiJson };
export type { EventLog };

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
    if (format === 'json') {
      writeOut(`${priorityMark(1, event)}${asciiJson({ time, event, ...fields })}\n`);
      return;
    }
    for (const text of textLines({ time, event }, fields)) line(event, text);
  };
}

function line(event: EventName, text: string): void {
  if (event === 'warning') tell(priorityMark(2, event) + text, 'yellow');
  else if (event === 'error') tell(priorityMark(2, event) + text, 'red');
  else print(priorityMark(1, event) + text);
}

function exitCodeOf(error: unknown): number {
  if (error instanceof UsageError) return EXIT_USAGE;
  return isKnockError(error) && CONFIGURATION.has(error.code) ? EXIT_USAGE : EXIT_FAILED;
}

/** Messages are escaped where they are made; what is not, is here. */
function safe(line: string): string {
  return /^[\x20-\x7e]*$/u.test(line) ? line : printable(line, 4000);
}
