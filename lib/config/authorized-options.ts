// The options before a key in an authorized_keys file, quoted as sshd reads them (sshd(8), "AUTHORIZED_KEYS FILE
// FORMAT"). An option that limits a session says nothing about knocks; one that limits the key must be understood or
// refused, never passed over.

import { printable } from '../errors.ts';
import { didYouMean } from './similar.ts';

/** What is wrong with a line, and where in it. */
export interface LineProblem {
  /** Characters before it. */
  readonly at: number;
  readonly message: string;
}

/** An option of ours: its value, and where it stands. */
export interface Option {
  readonly at: number;
  readonly value: string;
}

/** The options that mean something here. */
export type KeyOptions = Readonly<Partial<Record<OwnOption, Option>>>;

export interface ReadOptions {
  readonly options: KeyOptions;
  readonly problems: readonly LineProblem[];
  /** Where the key begins; `null` when the options have no end. */
  readonly keyAt: number | null;
}

type OwnOption = (typeof OWN)[number];

const OWN = ['portknock-services', 'portknock-bind', 'expiry-time'] as const;
/** About the session that comes after the knock: sshd sees to these. */
const SESSION_VALUES = ['command', 'environment', 'permitopen', 'permitlisten', 'principals', 'tunnel'];
const SESSION_FLAGS = [
  'restrict',
  'no-touch-required',
  'verify-required',
  ...['agent-forwarding', 'port-forwarding', 'pty', 'user-rc', 'x11-forwarding'].flatMap((each) => [
    each,
    `no-${each}`,
  ]),
];
const REFUSED: Readonly<Record<string, string>> = {
  from: 'option from is not supported, and a limit must not be passed over (remove it, or this key)',
  'cert-authority': 'option cert-authority is not supported: certificates cannot sign knocks (remove it)',
};
const KNOWN = [...OWN, ...SESSION_VALUES, ...SESSION_FLAGS];

const LINE_RULE = 'a line is options, a key, and the name of the client';

/** A name, perhaps with a value: within quotes only a quote after a backslash does not end it. */
const OPTION = /([A-Za-z0-9-]+)(?:(=)("(?:\\"|[^"\\]|\\(?!"))*")?)?/uy;

/** Reads the options at the beginning of a line. */
export function readOptions(line: string): ReadOptions {
  const options: Partial<Record<OwnOption, Option>> = {};
  const problems: LineProblem[] = [];
  const broken = (at: number, message: string): ReadOptions => ({
    options,
    problems: [...problems, { at, message }],
    keyAt: null,
  });
  for (let at = 0; ;) {
    OPTION.lastIndex = at;
    const [whole, written = '', equals, quoted] = OPTION.exec(line) ?? [''];
    if (whole === '') return broken(at, `option must begin here, not ${shownAt(line, at)} (${LINE_RULE})`);
    if (equals !== undefined && quoted === undefined) {
      return broken(at, `option ${printable(written, 60)} must have its value in quotes (as in x="y")`);
    }
    const name = written.toLowerCase();
    const value = quoted?.slice(1, -1).replaceAll('\\"', '"') ?? null;
    const problem = faultOf(name, value) ?? (isOwn(name) && name in options ? twice(name) : null);
    if (problem !== null) problems.push({ at, message: problem });
    else if (isOwn(name) && value !== null) options[name] = { at, value };
    at += whole.length;
    const next = line[at];
    if (next === ' ' || next === '\t') return { options, problems, keyAt: at + blanksAt(line, at) };
    if (next !== ',')
      return broken(at, `comma or blank must follow, not ${shownAt(line, at)} (${LINE_RULE})`);
    at += 1;
  }
}

function faultOf(name: string, value: string | null): string | null {
  const refusal = Object.hasOwn(REFUSED, name) ? REFUSED[name] : undefined;
  if (refusal !== undefined) return refusal;
  if (SESSION_FLAGS.includes(name))
    return value === null ? null : `option ${name} takes no value (remove it)`;
  if (isOwn(name) || SESSION_VALUES.includes(name)) {
    return value === null ? `option ${name} must have a value (as in ${name}="...")` : null;
  }
  const advice = didYouMean(name, KNOWN) ?? 'remove it: what may be a limit must not be passed over';
  return `option is not known: ${printable(name, 60)} (${advice})`;
}

function twice(name: string): string {
  return `option ${name} is given twice (keep one)`;
}

function isOwn(name: string): name is OwnOption {
  return OWN.some((each) => each === name);
}

function blanksAt(line: string, at: number): number {
  return /^[ \t]+/u.exec(line.slice(at))?.[0].length ?? 0;
}

/** Enough of the rest to recognise it. */
function shownAt(line: string, at: number): string {
  return at >= line.length ? 'the end of the line' : `'${printable(line.slice(at), 20)}'`;
}
