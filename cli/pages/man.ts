// Man pages in the man(7) macros: a program with all that its manual says, and its commands as sections of the page.

import { EVERYWHERE, type Manual, type Option, type Text } from '../manual/manual.ts';
import { exits, isVerbatim, optionGroups, saysOf, wordOf } from './help.ts';
import { bold, italic, prose, roff, verbatim } from './roff.ts';

/** What the foot and the head of a page say. */
export interface Edition {
  readonly section: 1 | 5 | 8;
  /** As `2026-01-31`. */
  readonly date: string;
  readonly version: string;
  /** Pages of ours to point to, as `portknock(1)`. */
  readonly see: readonly string[];
}

/** Room for the longest name of a command, which then stands beside what is said of it. */
const LIST = ' 17';
const PARTS = { 1: 'User Commands', 5: 'File Formats', 8: 'System Administration' } as const;

/** The page. */
export function manPage(manual: Manual, edition: Edition): string {
  const { program, summary, commands = [], notes = [] } = manual;
  const below = commands.flatMap(({ commands: those }) => those);
  const all = [manual, ...below];
  const names = valuesOf(manual);
  const lines = [
    ...pageHead(program, summary, edition),
    ...['.SH SYNOPSIS', ...synopsis(manual)],
    ...(manual.about.length === 0 ? [] : ['.SH DESCRIPTION', ...paragraphs(manual.about, names)]),
    ...(commands.length === 0 ? [] : ['.SH COMMANDS']),
    ...commands.flatMap(({ title: heading, commands: those }) => [
      `.SS ${roff(heading)}`,
      ...those.flatMap((each) => entry(bold(wordOf(each)), prose(each.summary, names), LIST)),
    ]),
    ...below.flatMap(section),
    '.SH OPTIONS',
    ...(below.length === 0 ? [] : ['.PP', 'Every command has these as well.']),
    ...optionLists(manual, true),
    ...paragraphs(notes, names),
    ...['.SH EXIT STATUS', ...exitList(manual, names)],
    ...list('ENVIRONMENT', all, ({ environment }) => environment, bold),
    ...list('FILES', all, ({ files }) => files, italic),
    ...(manual.examples === undefined ? [] : ['.SH EXAMPLES', ...paragraphs(manual.examples, names)]),
    ...['.SH SEE ALSO', seeAlso([...edition.see, ...all.flatMap(({ see = [] }) => see)])],
  ];
  return pageOf(lines);
}

/** How a page begins. */
export function pageHead(name: string, summary: string, edition: Edition): readonly string[] {
  return [
    '.\\" Made by the build from what the programs say of themselves.',
    title(name, edition),
    // Neither words broken at the end of a line nor lines blown up: both spoil names and paths.
    ...['.nh', '.ad l'],
    ...['.SH NAME', `${roff(name)} \\- ${roff(summary)}`],
  ];
}

/** Its lines as text. */
export function pageOf(lines: readonly string[]): string {
  return `${lines.filter((line, i) => !followsHeading(line, lines[i - 1])).join('\n')}\n`;
}

// A paragraph macro has nothing to do right behind a heading, and mandoc says so.
function followsHeading(line: string, before = ''): boolean {
  return line === '.PP' && /^\.S[HS] /u.test(before);
}

function title(program: string, { section: number, date, version }: Edition): string {
  const name = program.toUpperCase();
  return `.TH ${name} ${number} "${date}" "portknock ${roff(version)}" "${PARTS[number]}"`;
}

/** A command within the page of its program. */
function section(manual: Manual): readonly string[] {
  const { program, about, notes = [], examples = [] } = manual;
  const names = valuesOf(manual);
  return [
    `.SH ${roff(program.toUpperCase())}`,
    ...synopsis(manual),
    ...paragraphs(about, names),
    ...optionLists(manual, false),
    ...paragraphs([...notes, ...introduced(examples), `Exit: ${exits(manual)}.`], names),
  ];
}

/** An example that nothing stands above is taken for a part of what is before it. */
function introduced(examples: Text): Text {
  const [first] = examples;
  return first !== undefined && isVerbatim(first) ? ['For example:', ...examples] : examples;
}

function synopsis(manual: Manual): readonly string[] {
  const names = valuesOf(manual);
  const lines = manual.usage.map((usage) => `${bold(manual.program)} ${prose(usage, names)}`);
  return ['.PP', '.nf', ...lines, '.fi'];
}

export function paragraphs(text: Text, names: ReadonlySet<string>): readonly string[] {
  return text.flatMap((each) => (isVerbatim(each) ? verbatim(each) : ['.PP', prose(each, names)]));
}

/** The options under their headings; those that every command has are told once in a page. */
function optionLists(manual: Manual, everywhere: boolean): readonly string[] {
  const names = valuesOf(manual);
  return optionGroups(manual).flatMap(({ title: heading, options }) => {
    const shown = options.filter(([name]) => everywhere || !Object.hasOwn(EVERYWHERE, name));
    return [
      ...(heading === null ? [] : ['.PP', `${prose(heading, names)}:`]),
      ...shown.flatMap(([name, option]) => entry(optionTag(name, option), prose(saysOf(option), names))),
    ];
  });
}

function optionTag(name: string, option: Option): string {
  const letter = option.short === undefined ? '' : `${bold(`-${option.short}`)}, `;
  return `${letter}${bold(`--${name}`)}${option.type === 'string' ? ` ${italic(option.value)}` : ''}`;
}

function exitList({ exits: codes }: Manual, names: ReadonlySet<string>): readonly string[] {
  return codes.flatMap((says, code) => (says === null ? [] : entry(bold(String(code)), prose(says, names))));
}

/** What several commands may name, once. */
function list(
  heading: string,
  manuals: readonly Manual[],
  of: (manual: Manual) => Readonly<Record<string, string>> | undefined,
  form: (text: string) => string,
): readonly string[] {
  const found = new Map<string, string>();
  for (const manual of manuals) {
    for (const [name, says] of Object.entries(of(manual) ?? {})) if (!found.has(name)) found.set(name, says);
  }
  if (found.size === 0) return [];
  return [
    `.SH ${heading}`,
    ...[...found].flatMap(([name, says]) => entry(form(name), prose(says, new Set()))),
  ];
}

export function entry(tag: string, says: string, width = ''): readonly string[] {
  return [`.TP${width}`, tag, says];
}

export function seeAlso(pages: readonly string[]): string {
  // By section, then by name, as man pages do.
  const keys = pages.map((page) => page.split(/[()]/u)).map(([name = '', part = '']) => `${part} ${name}`);
  return [...new Set(keys)]
    .sort()
    .map((key) => `${bold(key.slice(key.indexOf(' ') + 1))}(${key.slice(0, key.indexOf(' '))})`)
    .join(',\n');
}

/** The names of values that usage lines and options have: `FILE`, `HOST`. */
function valuesOf({ usage, options, operands }: Manual): ReadonlySet<string> {
  const words = [
    ...usage.flatMap((line) => line.match(/\b[A-Z]{2,}\b/gu) ?? []),
    ...Object.values<Option>(options).flatMap((option) => (option.type === 'string' ? [option.value] : [])),
    ...operands.map(({ name }) => name),
  ];
  return new Set(words.flatMap((word) => word.match(/[A-Z]+/gu) ?? []));
}
