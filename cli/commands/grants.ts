// portknock grants: who may connect now, to what, from where, and for how long.

import { ask } from '../asking.ts';
import { readArgs } from '../args.ts';
import { GRANTS } from '../manual/grants.ts';
import { asciiJson, EXIT_DONE, EXIT_FAILED, print, tell } from '../report.ts';
import { grantLines, inOrder, type Grants } from '../showing.ts';

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, GRANTS);
  if (line === null) return EXIT_DONE;
  const { all = false, json = false } = line.values;
  const answer = await ask(line.values, { command: 'grants', all });
  if (answer === null) return EXIT_FAILED;
  const found = answer as unknown as Grants;
  const listed = inOrder(found);
  for (const each of json ? listed.map(asciiJson) : grantLines(listed)) print(each);
  const { ended_count: endedCount } = found;
  if (!json && !all && endedCount > 0) tell(`${endedCount} ended within 10 minutes (--all shows them)`);
  return EXIT_DONE;
}
