// portknock import: files of other programs as configurations of ours, with what could not be carried over.

import { importKnockd, printable, type Imported } from '../../lib/index.ts';
import { readArgs, UsageError } from '../args.ts';
import { tellNotes, writeNew } from '../importing.ts';
import { knockdOptions } from '../knockd.ts';
import { writeOut } from '../output.ts';
import { EXIT_DONE, EXIT_FAILED, tell } from '../report.ts';

const HELP = `usage: portknock import --knockd FILE [options]

Writes a configuration of ours for the doors of a knockd.conf, and on stderr,
line by line, what is not as it was with knockd. Changes nothing else.

      --knockd FILE     usually /etc/knockd.conf
  -o, --out FILE        where to write it (default: standard output)
  -i, --interface eth0  in place of the file's
      --strict          refuse what knockd takes by mistake: port 0, numbers
                        that are none, trailing commas
      --allow-shell     give commands that need a shell one
  -h, --help            this text
  -V, --version         the version

Exit: 0 written, 1 written without the doors that are said to be refused,
2 usage or a file that knockd would not take.
`;

const OPTIONS = {
  knockd: { type: 'string' },
  out: { type: 'string', short: 'o' },
  interface: { type: 'string', short: 'i' },
  strict: { type: 'boolean' },
  'allow-shell': { type: 'boolean' },
} as const;

type Values = NonNullable<ReturnType<typeof parsed>>['values'];
type Source = keyof typeof SOURCES;

/** What can be imported, by the option that names the file. */
const SOURCES = {
  knockd: (path: string, values: Values): Promise<Imported> => importKnockd(path, knockdOptions(values)),
} as const;

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = parsed(args);
  if (line === null) return EXIT_DONE;
  const { values } = line;
  const [source, second] = (Object.keys(SOURCES) as Source[]).filter((name) => values[name] !== undefined);
  const path = source === undefined ? undefined : values[source];
  if (source === undefined || path === undefined || second !== undefined) {
    throw new UsageError(
      `one of --${Object.keys(SOURCES).join(', --')} must be given (see portknock import --help)`,
    );
  }
  const { text, notes } = await SOURCES[source](path, values);
  if (values.out === undefined) writeOut(text);
  else await writeNew(values.out, text);
  tellNotes(notes);
  if (values.out !== undefined) tell(`next: portknockd --check --config ${printable(values.out, 1000)}`);
  return notes.some(({ kind }) => kind === 'refused') ? EXIT_FAILED : EXIT_DONE;
}

function parsed(args: readonly string[]) {
  return readArgs(args, { program: 'portknock import', help: HELP, options: OPTIONS, words: [0, 0] });
}
