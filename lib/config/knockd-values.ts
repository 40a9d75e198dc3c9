// Values of knockd.conf as knockd 0.8 takes them (protocols/knockd.md, section 1.2): numbers by atoi, lists by commas. What
// it takes without a word although nobody can have meant it is a quirk: a warning, or an error when strict.

import { printable } from '../errors.ts';

/** A knock of a door: unlike ours, the port may be 0, which nobody can knock on. */
export interface KnockdKnock {
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
}

/** What `tcpflags` asks of a packet. */
export interface KnockdFlags {
  readonly set: readonly TcpFlag[];
  readonly clear: readonly TcpFlag[];
}

export type TcpFlag = (typeof TCP_FLAGS)[number];

/** Takes what is to be said about the line that is being read. */
export interface Remarks {
  /** knockd refuses this as well. */
  readonly error: (message: string) => void;
  /** knockd takes it, but hardly as it was meant. */
  readonly quirk: (message: string) => void;
}

export const TCP_FLAGS = ['fin', 'syn', 'rst', 'psh', 'ack', 'urg'] as const;
export const MOST_KNOCKS = 32;
const MOST_PORT = 65_535;
const LONG = { least: -(2n ** 63n), most: 2n ** 63n - 1n } as const;

/** The value of `sequence`, or a line of a file of one-time sequences; `null` after an error. */
export function parseKnockdSequence(text: string, remarks: Remarks): readonly KnockdKnock[] | null {
  const entries = text.split(',');
  if (entries.length > MOST_KNOCKS) {
    remarks.error(`sequence has ${entries.length} knocks, more than ${MOST_KNOCKS} (shorten it)`);
    return null;
  }
  const knocks = entries.map((entry) => knockOf(entry, remarks)).filter((knock) => knock !== null);
  return knocks.length === entries.length ? knocks : null;
}

/** The value of `tcpflags`; `null` after an error. */
export function parseKnockdFlags(text: string, { error }: Remarks): KnockdFlags | null {
  const flags: { set: TcpFlag[]; clear: TcpFlag[] } = { set: [], clear: [] };
  let good = true;
  for (const word of text.split(',')) {
    const name = word.replace(/^!/u, '').toLowerCase();
    const flag = TCP_FLAGS.find((each) => each === name);
    if (flag !== undefined) {
      flags[word.startsWith('!') ? 'clear' : 'set'].push(flag);
      continue;
    }
    good = false;
    error(`tcpflags has no flag ${shown(word)} (write ${TCP_FLAGS.join(', ')}, with commas and no blanks)`);
  }
  return good ? flags : null;
}

/** The value of a time in seconds; what is less than none is none. */
export function parseKnockdSeconds(key: string, text: string, { quirk }: Remarks): number {
  const seconds = Math.max(0, atoi(text));
  if (!/^\d+$/u.test(text) || seconds === 0) {
    quirk(`${key} ${shown(text)} is taken as ${seconds} s (write a whole number of seconds)`);
  }
  return seconds;
}

/** What C makes of the beginning of a text: blanks, a sign, digits; 0 without digits. */
export function atoi(text: string): number {
  const digits = /^[ \t\n\v\f\r]*([+-]?\d+)/u.exec(text)?.[1] ?? '0';
  const value = BigInt(digits.replace('+', ''));
  const long = value > LONG.most ? LONG.most : value < LONG.least ? LONG.least : value;
  return Number(BigInt.asIntN(32, long));
}

/** Third fields and what comes after are passed over, as is whatever follows a number. */
function knockOf(entry: string, remarks: Remarks): KnockdKnock | null {
  const [portText = '', protocolText, ...rest] = entry.split(':');
  const number = atoi(portText);
  if (number > MOST_PORT) {
    remarks.error(`sequence has no port ${shown(portText)} (write a port from 1 to ${MOST_PORT})`);
    return null;
  }
  const name = (protocolText ?? 'tcp').trim().toLowerCase();
  if (name !== 'tcp' && name !== 'udp') {
    remarks.error(`sequence has no protocol ${shown(name)} (write tcp or udp)`);
    return null;
  }
  // As it is put into 16 bits.
  const port = number & MOST_PORT;
  const isPlain = /^\d+$/u.test(portText.trim()) && port > 0;
  if (!isPlain || rest.length > 0) {
    remarks.quirk(`sequence entry ${shown(entry)} is taken as ${port}:${name} (write PORT or PORT:udp)`);
  }
  return { port, protocol: name };
}

function shown(text: string): string {
  return `'${printable(text, 60)}'`;
}
