// portknock import: the configuration of another program as ours. Of fwknop's client, a stanza as a profile.

import { readFile } from 'node:fs/promises';
import { homedir, userInfo } from 'node:os';
import { join } from 'node:path';
import { formatProfile, KnockError, printable, profileOfFwknoprc } from '../../lib/knocker.ts';
import { readArgs } from '../args.ts';
import { reasonOf, writeNew } from '../private-file.ts';
import { EXIT_DONE, print, tell } from '../report.ts';

const HELP = `usage: portknock import --fwknoprc [FILE] --stanza NAME [options]

Makes a profile of a stanza of fwknop's client, and says what of it could not
be carried over.

      --fwknoprc FILE  default ~/.fwknoprc
      --stanza NAME    which one
  -o, --out FILE       the profile (default NAME.knock)
  -h, --help           this text
  -V, --version        the version

Exit: 0 written, 1 failed, 2 usage or stanza.
`;

const OPTIONS = {
  fwknoprc: { type: 'string', default: join(homedir(), '.fwknoprc') },
  stanza: { type: 'string', default: 'default' },
  out: { type: 'string', short: 'o' },
} as const;

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, { program: 'portknock import', help: HELP, options: OPTIONS, words: [0, 0] });
  if (line === null) return EXIT_DONE;
  const {
    fwknoprc: path,
    stanza,
    out = `${stanza.replaceAll(/[^A-Za-z0-9._-]/gu, '_')}.knock`,
  } = line.values;
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    const problem = `${printable(path, 1000)}: ${reasonOf(cause)} (check the path)`;
    throw new KnockError('ERR_PROFILE', `stanza cannot be read: ${problem}`, { cause });
  });
  const { profile, notes } = profileOfFwknoprc(text, { stanza, user: userInfo().username });
  await writeNew(out, formatProfile(profile));
  for (const note of notes) tell(note, 'yellow');
  print(out);
  return EXIT_DONE;
}
