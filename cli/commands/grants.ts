// portknock grants: who may connect now, to what, from where, and for how long.

import { ask, WHICH } from '../asking.ts';
import { readArgs } from '../args.ts';
import { asciiJson, EXIT_DONE, EXIT_FAILED, print, tell } from '../report.ts';
import { grantLines, type Grants } from '../showing.ts';

const HELP = `usage: portknock grants [--all] [--config F] [options]

Lists what is open, the one that ends first at the top. CONN is how many
connections the grant admits; a grant for one is unused as long as it is open.
ID is as much of the id as portknock revoke needs; --json has all of it, and
names in full.

      --all        also those that ended within the last 10 minutes (at most
                   100), and how: used, expired, revoked, superseded
  -c, --config F   default /etc/portknock/portknockd.yaml
      --state DIR  its state directory, instead of a configuration
      --json       one JSON object a line
  -h, --help       this text
  -V, --version    the version

Exit: 0 done, 1 no portknockd is running, 2 usage or configuration.
`;

const OPTIONS = { ...WHICH, all: { type: 'boolean' }, json: { type: 'boolean' } } as const;

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, { program: 'portknock grants', help: HELP, options: OPTIONS, words: [0, 0] });
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
