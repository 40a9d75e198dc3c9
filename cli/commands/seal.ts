// portknock seal: puts a profile under a password. Imports the light entry only.

import { parseProfile, printable, sealProfile } from '../../lib/knocker.ts';
import { readArgs } from '../args.ts';
import { fdOption, newSecret } from '../password.ts';
import { replacePrivate } from '../private-file.ts';
import { profilePassword, readProfileFile, requireOpen } from '../profile.ts';
import { EXIT_DONE, tell } from '../report.ts';

const HELP = `usage: portknock seal PROFILE [options]

Puts a profile under a password: the file is replaced by a sealed one, which
send and connect open with the password. Whoever finds the file cannot knock.

      --password-fd N  read the password from this open file; without it
                       PORTKNOCK_PASSWORD, or asked for twice
  -h, --help           this text
  -V, --version        the version

Exit: 0 sealed, 1 failed, 2 usage, profile or password.
`;

const OPTIONS = { 'password-fd': { type: 'string' } } as const;

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, { program: 'portknock seal', help: HELP, options: OPTIONS, words: [1, 1] });
  if (line === null) return EXIT_DONE;
  const [path = ''] = line.positionals;
  const fd = fdOption(line.values['password-fd']);
  const text = await readProfileFile(path);
  requireOpen(text, path);
  parseProfile(text);
  const password = await newSecret(profilePassword(path, fd));
  await replacePrivate(path, await sealProfile(text, password));
  tell(`sealed ${printable(path, 1000)}`);
  return EXIT_DONE;
}
