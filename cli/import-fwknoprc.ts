// A stanza of fwknop's client as a profile of ours.

import { readFile } from 'node:fs/promises';
import { homedir, userInfo } from 'node:os';
import { join } from 'node:path';
import { formatProfile, KnockError, printable, profileOfFwknoprc } from '../lib/knocker.ts';
import { reasonOf, writeNew } from './private-file.ts';
import { EXIT_DONE, print, tell } from './report.ts';

/** What the command line says of it. */
export interface FwknoprcValues {
  readonly fwknoprc?: string | undefined;
  readonly stanza?: string | undefined;
  readonly out?: string | undefined;
}

/** Writes the profile, prints its name, and says what was not carried over. */
export async function importFwknoprc(values: FwknoprcValues): Promise<number> {
  const {
    fwknoprc: path = join(homedir(), '.fwknoprc'),
    stanza = 'default',
    out = `${stanza.replaceAll(/[^A-Za-z0-9._-]/gu, '_')}.knock`,
  } = values;
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
