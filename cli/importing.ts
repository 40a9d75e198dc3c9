// Files of other daemons as a configuration of ours, and a line for each thing that is not as it was.

import {
  formatProblem,
  importFwknop,
  importKnockd,
  printable,
  type Imported,
  type ImportNote,
} from '../lib/index.ts';
import { UsageError } from './args.ts';
import { knockdOptions, type KnockdValues } from './knockd.ts';
import { writeOut } from './output.ts';
import { writeNew } from './private-file.ts';
import { EXIT_DONE, EXIT_FAILED, tell } from './report.ts';

/** Where to write it. */
interface Out {
  readonly out?: string | undefined;
}

/** Writes what a knockd.conf becomes to `out`, or to standard output. */
export async function importKnockdConf(
  path: string,
  { out, ...values }: KnockdValues & Out,
): Promise<number> {
  return written(await importKnockd(path, knockdOptions(values)), out);
}

/** Writes what an access.conf becomes to `out`: it holds keys. */
export async function importAccessConf(
  path: string,
  values: Out & { readonly interface?: string | undefined; readonly fwknopd?: string | undefined },
): Promise<number> {
  const { out, interface: device, fwknopd } = values;
  if (out === undefined)
    throw new UsageError('what --fwknop writes has keys in it (name a file: --out FILE)');
  const imported = await importFwknop(path, {
    ...(device === undefined ? {} : { interface: device }),
    ...(fwknopd === undefined ? {} : { daemon: fwknopd }),
  });
  return written(imported, out);
}

async function written({ text, notes }: Imported, out: string | undefined): Promise<number> {
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
