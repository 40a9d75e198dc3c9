// Command lines: options with node:util's parseArgs, --help and --version everywhere, one line for a mistake.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { parseDuration } from '../lib/knocker.ts';
import { EVERYWHERE, type Manual } from './manual/manual.ts';
import { writeOut } from './output.ts';
import { helpText } from './pages/help.ts';

/** A mistake on the command line: one line, exit 2. */
export class UsageError extends Error {}

type Config<T extends Manual> = {
  args: string[];
  options: T['options'] & typeof EVERYWHERE;
  allowPositionals: true;
  strict: true;
};

type Parsed<T extends Manual> = ReturnType<typeof parseArgs<Config<T>>>;

/** The values of a command's options. */
export type Values<T extends Manual> = Parsed<T>['values'];

/** The options and words; `null` when help or the version was asked for and has been printed. */
export function readArgs<T extends Manual>(args: readonly string[], manual: T): Parsed<T> | null {
  const { program, operands } = manual;
  const config: Config<T> = {
    args: [...args],
    options: { ...manual.options, ...EVERYWHERE },
    allowPositionals: true,
    strict: true,
  };
  const parsed = attempt(program, () => parseArgs(config));
  const wanted: { readonly help?: unknown; readonly version?: unknown } = parsed.values;
  if (wanted.help === true || wanted.version === true) {
    writeOut(wanted.help === true ? helpText(manual) : `portknock ${version()}\n`);
    return null;
  }
  const { positionals } = parsed;
  const needed = operands.filter(({ optional }) => optional !== true);
  if (positionals.length < needed.length)
    throw new UsageError(`something is missing (see ${program} --help)`);
  const extra = positionals[operands.length];
  if (extra !== undefined)
    throw new UsageError(`argument is one too many: '${extra}' (see ${program} --help)`);
  return parsed;
}

/** The version of this package. */
export function version(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** The milliseconds of an option like `10s`. */
export function durationOption(name: string, text: string): number {
  const ms = parseDuration(text);
  if (ms !== null && ms > 0 && ms < 86_400_000) return ms;
  throw new UsageError(`--${name} must be a length of time, not '${text}' (write it as 10s or 2m)`);
}

/** The address family of `-4` and `-6`. */
export function familyOption(values: {
  readonly ipv4?: boolean;
  readonly ipv6?: boolean;
}): 4 | 6 | undefined {
  if (values.ipv4 === true && values.ipv6 === true) throw new UsageError('-4 and -6 exclude each other');
  return values.ipv4 === true ? 4 : values.ipv6 === true ? 6 : undefined;
}

/** One of some words, or the mistake. */
export function wordOption<const T extends string>(name: string, text: string, words: readonly T[]): T {
  const found = words.find((word) => word === text);
  if (found !== undefined) return found;
  throw new UsageError(`--${name} must be ${words.join(' or ')}, not '${text}'`);
}

/** `ssh,admin` as a list. */
export function listOption(name: string, text: string): readonly string[] {
  const words = text.split(',').map((word) => word.trim());
  if (words.every((word) => word !== '')) return words;
  throw new UsageError(`--${name} must be words with commas between them, not '${text}'`);
}

function attempt<T>(program: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    // Node's message goes on with advice for programmers.
    const [first = ''] = error instanceof Error ? error.message.split(/\. |\n/u) : [];
    throw new UsageError(`${first.charAt(0).toLowerCase()}${first.slice(1)} (see ${program} --help)`);
  }
}
