// A knockd.conf as a configuration of ours, and a line for each thing that is not as it was.

import { formatProblem, importKnockd, printable, type ImportNote } from '../lib/index.ts';
import { knockdOptions, type KnockdValues } from './knockd.ts';
import { writeOut } from './output.ts';
import { writeNew } from './private-file.ts';
import { EXIT_DONE, EXIT_FAILED, tell } from './report.ts';

/** Writes it to `out`, or to standard output. */
export async function importKnockdConf(
  path: string,
  { out, ...values }: KnockdValues & { readonly out?: string | undefined },
): Promise<number> {
  const { text, notes } = await importKnockd(path, knockdOptions(values));
  if (out === undefined) writeOut(text);
  else await writeNew(out, text);
  tellNotes(notes);
  if (out !== undefined) tell(`next: portknockd --check --config ${printable(out, 1000)}`);
  return notes.some(({ kind }) => kind === 'refused') ? EXIT_FAILED : EXIT_DONE;
}

/** Tells the notes as `file:line:1: kind: what`. */
function tellNotes(notes: readonly ImportNote[]): void {
  for (const { kind, message, ...place } of notes) {
    tell(formatProblem({ ...place, message: `${kind}: ${message}` }), kind === 'refused' ? 'red' : 'yellow');
  }
}
