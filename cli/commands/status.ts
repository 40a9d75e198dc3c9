// portknock status: how the running gateway is.

import { ask, WHICH } from '../asking.ts';
import { readArgs } from '../args.ts';
import { asciiJson, EXIT_DONE, EXIT_FAILED, print } from '../report.ts';
import { statusLines, type Status } from '../showing.ts';

const HELP = `usage: portknock status [--config F] [options]

Asks the running portknockd how it is: since when it runs, what is open, what
it has counted since its start, and why knocks were refused, with the source of
the last one for each reason. An address there may be forged.

  -c, --config F   default /etc/portknock/portknockd.yaml
      --state DIR  its state directory, instead of a configuration
      --json       one JSON object
  -h, --help       this text
  -V, --version    the version

Exit: 0 done, 1 no portknockd is running, 2 usage or configuration.
`;

const OPTIONS = { ...WHICH, json: { type: 'boolean' } } as const;

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, { program: 'portknock status', help: HELP, options: OPTIONS, words: [0, 0] });
  if (line === null) return EXIT_DONE;
  const answer = await ask(line.values, { command: 'status' });
  if (answer === null) return EXIT_FAILED;
  const { ok: _, ...status } = answer;
  if (line.values.json === true) print(asciiJson(status));
  else for (const each of statusLines(status as unknown as Status)) print(each);
  return EXIT_DONE;
}
