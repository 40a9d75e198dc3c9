// portknock import: files of other programs as ours, with what could not be carried over.

import { readArgs, UsageError } from '../args.ts';
import { IMPORT } from '../manual/import.ts';
import { EXIT_DONE } from '../report.ts';

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, IMPORT);
  if (line === null) return EXIT_DONE;
  const { knockd, fwknop, fwknopd, fwknoprc, stanza, out, ...rest } = line.values;
  const isProfile = fwknoprc !== undefined || stanza !== undefined;
  if ([knockd !== undefined, fwknop !== undefined, isProfile].filter(Boolean).length !== 1) {
    const advice = 'see portknock import --help';
    throw new UsageError(`one of --knockd, --fwknop, --fwknoprc must be given (${advice})`);
  }
  if (knockd === undefined && (rest.strict === true || rest['allow-shell'] === true))
    throw new UsageError('--strict and --allow-shell are for --knockd');
  // Each of them is loaded only when it is the one that is wanted.
  if (isProfile) return (await import('../import-fwknoprc.ts')).importFwknoprc({ fwknoprc, stanza, out });
  const importing = await import('../importing.ts');
  if (knockd !== undefined) return importing.importKnockdConf(knockd, { ...rest, out });
  return importing.importAccessConf(fwknop ?? '', { interface: rest.interface, fwknopd, out });
}
