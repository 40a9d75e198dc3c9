// portknock import: files of other programs as ours, with what could not be carried over.

import { readArgs, UsageError } from '../args.ts';
import { EXIT_DONE } from '../report.ts';

const HELP = `usage: portknock import --knockd FILE [options]
       portknock import --fwknoprc [FILE] --stanza NAME [options]

Writes a configuration of ours for the doors of a knockd.conf, or a profile for
a stanza of fwknop's client, and says on stderr, line by line, what is not as it
was. Changes nothing else.

      --knockd FILE     usually /etc/knockd.conf
  -i, --interface eth0  in place of the file's
      --strict          refuse what knockd takes by mistake: port 0, numbers
                        that are none, trailing commas
      --allow-shell     give commands that need a shell one
      --fwknoprc FILE   default ~/.fwknoprc
      --stanza NAME     which one
  -o, --out FILE        where to write it (default: the configuration to
                        standard output, the profile to NAME.knock)
  -h, --help            this text
  -V, --version         the version

Exit: 0 written, 1 failed, or written without the doors that are said to be
refused, 2 usage, or a file or stanza that cannot be used.
`;

const OPTIONS = {
  knockd: { type: 'string' },
  interface: { type: 'string', short: 'i' },
  strict: { type: 'boolean' },
  'allow-shell': { type: 'boolean' },
  fwknoprc: { type: 'string' },
  stanza: { type: 'string' },
  out: { type: 'string', short: 'o' },
} as const;

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, { program: 'portknock import', help: HELP, options: OPTIONS, words: [0, 0] });
  if (line === null) return EXIT_DONE;
  const { knockd, fwknoprc, stanza, out, ...rest } = line.values;
  const isFwknop = fwknoprc !== undefined || stanza !== undefined;
  if ((knockd !== undefined) === isFwknop)
    throw new UsageError('one of --knockd, --fwknoprc must be given (see portknock import --help)');
  // Each of them is loaded only when it is the one that is wanted.
  if (knockd === undefined)
    return (await import('../import-fwknoprc.ts')).importFwknoprc({ fwknoprc, stanza, out });
  return (await import('../importing.ts')).importKnockdConf(knockd, { ...rest, out });
}
