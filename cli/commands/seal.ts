// portknock seal: puts a profile under a password. Imports the light entry only.

import { parseProfile, printable, sealProfile } from '../../lib/knocker.ts';
import { readArgs } from '../args.ts';
import { SEAL } from '../manual/seal.ts';
import { fdOption, newSecret } from '../password.ts';
import { replacePrivate } from '../private-file.ts';
import { profilePassword, readProfileFile, requireOpen } from '../profile.ts';
import { EXIT_DONE, tell } from '../report.ts';

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, SEAL);
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
