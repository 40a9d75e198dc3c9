// portknock import: files of other programs as ours, with what could not be carried over.

import { readArgs, UsageError } from '../args.ts';
import { EXIT_DONE } from '../report.ts';

const HELP = `usage: portknock import --knockd FILE [options]
       portknock import --fwknop FILE --out FILE [options]
       portknock import --fwknoprc [FILE] --stanza NAME [options]

Writes a configuration of ours for the doors of a knockd.conf or the stanzas of
fwknopd's access.conf, or a profile for a stanza of fwknop's client, and says on
stderr, line by line, what is not as it was. Changes nothing else.

      --knockd FILE     usually /etc/knockd.conf
      --strict          refuse what knockd takes by mistake: port 0, numbers
                        that are none, trailing commas
      --allow-shell     give commands that need a shell one
      --fwknop FILE     usually /etc/fwknop/access.conf
      --fwknopd FILE    default: fwknopd.conf beside it, if there
  -i, --interface eth0  in place of the file's
      --fwknoprc FILE   default ~/.fwknoprc
      --stanza NAME     which one
  -o, --out FILE        where to write it (default: what knockd.conf becomes
                        to standard output, the profile to NAME.knock)
  -h, --help            this text
  -V, --version         the version

Exit: 0 written, 1 failed, or written without the doors or stanzas that are said
to be refused, 2 usage, or a file or stanza that cannot be used.
`;

const OPTIONS = {
  knockd: { type: 'string' },
  interface: { type: 'string', short: 'i' },
  strict: { type: 'boolean' },
  'allow-shell': { type: 'boolean' },
  fwknop: { type: 'string' },
  fwknopd: { type: 'string' },
  fwknoprc: { type: 'string' },
  stanza: { type: 'string' },
  out: { type: 'string', short: 'o' },
} as const;

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, { program: 'portknock import', help: HELP, options: OPTIONS, words: [0, 0] });
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
