// What an import leaves behind: a new file, and a line for each thing that is not as it was.

import { open } from 'node:fs/promises';
import { formatProblem, KnockError, printable, type ImportNote } from '../lib/index.ts';
import { systemCode } from '../lib/knocker.ts';
import { reasonOf } from './private-file.ts';
import { tell } from './report.ts';

/** Writes a file that must not be there yet, readable by its owner only. @throws KnockError `ERR_EXISTS`, `ERR_WRITE` */
export async function writeNew(path: string, text: string): Promise<void> {
  const shown = printable(path, 1000);
  try {
    const handle = await open(path, 'wx', 0o600);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw systemCode(cause) === 'EEXIST'
      ? new KnockError(
          'ERR_EXISTS',
          `file exists already: ${shown} (nothing was overwritten; remove it first)`,
        )
      : new KnockError('ERR_WRITE', `file cannot be written: ${shown}: ${reasonOf(cause)} (check the path)`, {
          cause,
        });
  }
}

/** Tells the notes as `file:line:1: kind: what`. */
export function tellNotes(notes: readonly ImportNote[]): void {
  for (const { kind, message, ...place } of notes) {
    tell(formatProblem({ ...place, message: `${kind}: ${message}` }), kind === 'refused' ? 'red' : 'yellow');
  }
}
