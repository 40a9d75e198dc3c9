// How an event is written: as an object, or as one line of words that a program can take apart as well: the time, the event,
// name=value for each field, then the message. In the journal of systemd a line also has its priority in front.

import { fstatSync } from 'node:fs';
import { printable } from '../lib/knocker.ts';
import type { EventName, Field } from './events.ts';

export type Fields = Readonly<Record<string, Field>>;

/** Priorities of syslog(3): err, warning, notice, info. */
const PRIORITY: Readonly<Record<EventName, number>> = {
  ...{ error: 3, warning: 4, reject: 5 },
  ...{ ready: 6, grant: 6, close: 6, reload: 6, teardown: 6, stop: 6 },
};

/** Written as it is; anything else in quotes, as JSON. */
const PLAIN = /^[!#-<>-[\]-~]+$/u;

/** Lines for people, the message's own lines each on one of them. */
export function textLines(
  head: { readonly time: string; readonly event: EventName },
  fields: Fields,
): readonly string[] {
  const { message = '', ...others } = fields;
  const words = Object.entries(others).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${quoted(String(value))}`],
  );
  return String(message)
    .split('\n')
    .map((each) => [head.time, head.event, ...words, ...(each === '' ? [] : [unlikeField(each)])].join(' '));
}

/** In front of a line on that file descriptor: `<4>` when it is the journal's, which takes it off. */
export function priorityMark(fd: 1 | 2, event: EventName): string {
  return isJournal(fd) ? `<${PRIORITY[event]}>` : '';
}

/** JSON of printable ASCII only: a terminal takes it as text, a parser as the same value. */
export function asciiJson(value: unknown): string {
  // Without the u flag: JSON escapes UTF-16 units.
  return JSON.stringify(value).replace(
    /[^\x20-\x7e]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

function quoted(value: string): string {
  return PLAIN.test(value) ? value : asciiJson(value);
}

/** A message never reads like one more field. */
function unlikeField(message: string): string {
  if (/^(?:\w+=|")/u.test(message)) return asciiJson(message);
  return /^[\x20-\x7e]*$/u.test(message) ? message : printable(message, 4000);
}

/** systemd.exec(5): the variable names the device and inode of the stream, since a child may have another one. */
function isJournal(fd: 1 | 2): boolean {
  const { JOURNAL_STREAM: journal } = process.env;
  if (journal === undefined) return false;
  try {
    const { dev, ino } = fstatSync(fd, { bigint: true });
    return journal === `${dev}:${ino}`;
  } catch {
    return false;
  }
}
