// portknock revoke: takes a grant back.

import { ask } from '../asking.ts';
import { readArgs, UsageError } from '../args.ts';
import { REVOKE } from '../manual/revoke.ts';
import { asciiJson, EXIT_DONE, EXIT_FAILED, print, tell } from '../report.ts';
import { GRANT_ID } from '../requests.ts';

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, REVOKE);
  if (line === null) return EXIT_DONE;
  const [id = ''] = line.positionals;
  if (!GRANT_ID.fits(id)) throw new UsageError(`ID must be ${GRANT_ID.rule}, not '${id}'`);
  const answer = await ask(line.values, { command: 'revoke', id });
  if (answer === null) return EXIT_FAILED;
  const { ok: _, ...grant } = answer;
  if (line.values.json === true) print(asciiJson(grant));
  else tell(takenBack(grant as Readonly<Record<string, string>>));
  return EXIT_DONE;
}

function takenBack({ id = '', client, service = '', source = '' }: Readonly<Record<string, string>>): string {
  const whose = client === undefined ? '' : `: ${client}, ${service}, from ${source}`;
  return `grant ${id} is taken back${whose}`;
}
