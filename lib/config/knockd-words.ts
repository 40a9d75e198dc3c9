// The words of a command line that needs no shell: plain ones, and quotes around what a shell would leave as it is.
// Anything that a shell would do something about makes it a shell's business.

import { printable } from '../errors.ts';

/** A program and its arguments, or why only a shell could make something of the text. */
export type Words = { readonly argv: readonly string[] } | { readonly shell: string };

/** A blank, a quoted piece, a piece without special characters, or one character that is special. */
const PIECE = /([ \t]+)|'([^']*)'|"([^"$`\\]*)"|([^\s'"\\|&;<>()$`*?[\]]+)|([^])/gu;
/** What a shell does itself. */
const BUILTINS = [
  ...['.', ':', '!', '{', '}', 'alias', 'bg', 'break', 'case', 'cd', 'command', 'continue', 'do', 'done'],
  ...['elif', 'else', 'esac', 'eval', 'exec', 'exit', 'export', 'fc', 'fg', 'fi', 'for', 'getopts', 'hash'],
  ...['if', 'in', 'jobs', 'local', 'read', 'readonly', 'return', 'set', 'shift', 'source', 'then', 'times'],
  ...['trap', 'type', 'ulimit', 'umask', 'unalias', 'unset', 'until', 'wait', 'while'],
];
/** Some shells make several words of `{a,b}` and `{1..3}`. */
const BRACES = /\{[^{}]*(?:,|\.\.)[^{}]*\}/u;

/** Splits a command line. */
export function wordsOf(text: string): Words {
  const argv: string[] = [];
  let word: string | null = null;
  for (const [whole, blank, single, double, plain] of text.matchAll(PIECE)) {
    if (blank !== undefined) {
      if (word !== null) argv.push(word);
      word = null;
      continue;
    }
    if (plain !== undefined && isForShell(plain, word === null ? argv.length : null)) return forShell(plain);
    const piece = single ?? double ?? plain;
    if (piece === undefined) return forShell(whole);
    word = (word ?? '') + piece;
  }
  if (word !== null) argv.push(word);
  return { argv };
}

/** `place`: which word it begins; `null` within one. */
function isForShell(plain: string, place: number | null): boolean {
  if (BRACES.test(plain) || (place !== null && /^[~#]/u.test(plain))) return true;
  return place === 0 && (BUILTINS.includes(plain) || plain.includes('='));
}

function forShell(piece: string): Words {
  return { shell: printable(piece, 30) };
}
