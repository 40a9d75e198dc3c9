// What --help prints: a manual as text of at most 80 columns. What hangs behind names stands in one column, which the
// longest of them decides.

import { EVERYWHERE, type Manual, type Option, type Text } from '../manual/manual.ts';
import { wrap } from '../wrap.ts';

/** A name, and what is said of it. */
export type Entry = readonly [name: string, says: string];

/** Longer names have a line to themselves. */
const WIDEST_NAME = 25;
const GAP = 2;
/** A space at which no line is broken. */
const TIED = '\u00a0';

/** The whole text. */
export function helpText(manual: Manual): string {
  const { program, usage, about, commands = [], notes = [], environment = {}, examples = [] } = manual;
  const all = commands.flatMap(({ commands: those }) => those.map(named));
  const parts = [
    usage.map((rest, i) => `${i === 0 ? 'usage:' : '      '} ${program} ${rest}`).join('\n'),
    ...about.map(paragraph),
    ...commands.map(({ title, commands: those }) => `${title}\n${hanging(those.map(named), columnOf(all))}`),
    ...optionGroups(manual).map(({ title, options }) => {
      const list = hanging(options.map(optionEntry), widthOf(manual));
      return title === null ? list : `${title}\n${list}`;
    }),
    ...notes.map(paragraph),
    ...headed('Environment', Object.entries(environment)),
    ...(examples.length === 0 ? [] : [`Examples\n${exampleLines(examples)}`]),
    wrap(`Exit: ${exits(manual)}.`).join('\n'),
  ];
  return `${parts.join('\n\n').replaceAll(TIED, ' ')}\n`;
}

/** An option as it is typed, with room for the letter that it may lack, and what it does. */
export function optionEntry([name, option]: readonly [string, Option]): Entry {
  const letter = option.short === undefined ? '    ' : `-${option.short}, `;
  return [`${letter}--${name}${option.type === 'string' ? ` ${option.value}` : ''}`, saysOf(option)];
}

/** What is said of an option, its default included. */
export function saysOf(option: Option): string {
  if (option.type === 'boolean') return option.says;
  const usual = option.default ?? option.usual;
  return usual === undefined ? option.says : `${option.says} (default:${TIED}${usual})`;
}

/** What a shell or a list of commands calls it: without the program that it belongs to. */
export function wordOf({ program }: Manual): string {
  return program.slice(program.indexOf(' ') + 1);
}

/** The options under each heading; those without one come first, and those that every command has last among them. */
export function optionGroups({
  options,
}: Manual): readonly { readonly title: string | null; readonly options: readonly [string, Option][] }[] {
  const all = [...Object.entries<Option>(options), ...Object.entries<Option>(EVERYWHERE)];
  const titles = [...new Set(all.map(([, { group }]) => group ?? null))].sort(
    (one, other) => Number(one !== null) - Number(other !== null),
  );
  return titles.map((title) => ({
    title,
    options: all.filter(([, { group }]) => (group ?? null) === title),
  }));
}

/** `0 sent, 1 failed, 2 usage`. */
export function exits({ exits: [done, failed, usage] }: Manual): string {
  return [`0${TIED}${done}`, ...(failed === null ? [] : [`1${TIED}${failed}`]), `2${TIED}${usage}`].join(
    '; ',
  );
}

/** Text without the marks of words that are typed. */
export function plain(text: string): string {
  return text.replaceAll('`', '');
}

export function isVerbatim(text: string): boolean {
  return text.startsWith('  ');
}

function paragraph(text: string): string {
  return isVerbatim(text) ? text : wrap(plain(text)).join('\n');
}

function headed(title: string, entries: readonly Entry[]): readonly string[] {
  return entries.length === 0 ? [] : [`${title}\n${hanging(entries)}`];
}

// One block: what introduces an example stands right above it.
function exampleLines(examples: Text): string {
  return examples
    .map((text) => (isVerbatim(text) ? text.replaceAll(/^/gmu, '  ') : wrap(plain(text), 2).join('\n')))
    .join('\n');
}

function named(manual: Manual): Entry {
  return [wordOf(manual), manual.summary];
}

function widthOf(manual: Manual): number {
  return columnOf(optionGroups(manual).flatMap(({ options }) => options.map(optionEntry)));
}

function columnOf(entries: readonly Entry[]): number {
  return Math.max(0, ...entries.map(([name]) => name.length).filter((length) => length <= WIDEST_NAME));
}

function hanging(entries: readonly Entry[], width = columnOf(entries)): string {
  const column = GAP + width + GAP;
  return entries
    .flatMap(([name, says]) => {
      const [first = '', ...rest] = wrap(plain(says), column);
      const own = ' '.repeat(GAP) + name;
      return own.length + GAP > column
        ? [own, first, ...rest]
        : [own.padEnd(column) + first.slice(column), ...rest];
    })
    .join('\n');
}
