// portknock grants: who may connect now, to what, from where, and for how long.

import { ask } from '../asking.ts';
import { readArgs } from '../args.ts';
import { GRANTS } from '../manual/grants.ts';
import { asciiJson, EXIT_DONE, EXIT_FAILED, print, tell } from '../report.ts';
import { grantLines, type Grants } from '../showing.ts';

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, GRANTS);
  if (line === null) return EXIT_DONE;
  const { all = false, json = false } = line.values;
  const answer = await ask(line.values, { command: 'grants', all });
  if (answer === null) return EXIT_FAILED;
  const found = answer as unknown as Grants;
  const { grants, omitted, ended, ended_count: endedCount } = found;
  if (json) for (const grant of [...grants, ...ended]) print(asciiJson(grant));
  else for (const each of grantLines(found)) print(each);
  if (json && omitted > 0) tell(`and ${omitted} more are open`);
  if (!json && !all && endedCount > 0) tell(`${endedCount} ended within 10 minutes (--all shows them)`);
  return EXIT_DONE;
}
