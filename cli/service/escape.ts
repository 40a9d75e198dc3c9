// How words are written in systemd's files (systemd.syntax(7), systemd.service(5) "Command lines", tmpfiles.d(5)): in
// quotes where they need them, and so that nothing in them is taken for a specifier, a variable or an escape.

import { printable } from '../../lib/knocker.ts';
import { UsageError } from '../args.ts';

/** A path or another word. @throws UsageError for what no such file can say */
export function quoted(word: string): string {
  // Not only what is unsafe: a line in a file that somebody reads should show what it says.
  if (/\p{C}/u.test(word))
    throw new UsageError(`path has control characters: '${printable(word, 200)}' (rename it)`);
  const text = word.replaceAll('%', '%%');
  return /^[\w/.:@+=,%-]+$/u.test(text) ? text : `"${text.replace(/[\\"]/gu, '\\$&')}"`;
}

/** A command line; in its arguments, unlike in the program's path, variables would be replaced. */
export function commandLine([program, ...args]: readonly [string, ...string[]]): string {
  if (/["'\\]/u.test(program))
    throw new UsageError(
      `systemd starts no program with quotes or backslashes in its path: '${printable(program, 200)}' (move it)`,
    );
  return [quoted(program), ...args.map((arg) => quoted(arg).replaceAll('$', () => '$$'))].join(' ');
}
