// portknock send: knocks, and on demand waits until the port accepts. Imports the light entry only.

import { durationOption, readArgs, UsageError } from '../args.ts';
import { clientOf, profileOf, serviceOf } from '../client.ts';
import { SEND } from '../manual/send.ts';
import { EXIT_DONE, print } from '../report.ts';
import { failureJson, send } from '../sending.ts';

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, SEND);
  if (line === null) return EXIT_DONE;
  const { values, positionals } = line;
  const { wait = false, close = false, json = false } = values;
  const timeoutMs = durationOption('timeout', values.timeout);
  try {
    if (wait && close) throw new UsageError('--wait and --close exclude each other');
    const profile = await profileOf(values);
    const service = serviceOf(profile, positionals[0], wait);
    await send(await clientOf(profile, values), { service, timeoutMs, wait, close, json });
    return EXIT_DONE;
  } catch (error) {
    if (json) print(failureJson(error));
    throw error;
  }
}
