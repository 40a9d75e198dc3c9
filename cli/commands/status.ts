// portknock status: how the running gateway is.

import { ask } from '../asking.ts';
import { readArgs } from '../args.ts';
import { STATUS } from '../manual/status.ts';
import { asciiJson, EXIT_DONE, EXIT_FAILED, print } from '../report.ts';
import { statusLines, type Status } from '../showing.ts';

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, STATUS);
  if (line === null) return EXIT_DONE;
  const answer = await ask(line.values, { command: 'status' });
  if (answer === null) return EXIT_FAILED;
  const { ok: _, ...status } = answer;
  if (line.values.json === true) print(asciiJson(status));
  else for (const each of statusLines(status as unknown as Status)) print(each);
  return EXIT_DONE;
}
