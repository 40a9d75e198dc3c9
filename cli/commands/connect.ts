// portknock connect: knocks and becomes the connection, as ssh's ProxyCommand. Imports the light entry only.

import { durationOption, readArgs, UsageError } from '../args.ts';
import { clientOf, profileOf } from '../client.ts';
import { connectAndRelay, destinationOf } from '../connecting.ts';
import { CONNECT } from '../manual/connect.ts';
import { fdOption } from '../password.ts';
import { EXIT_DONE } from '../report.ts';

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, CONNECT);
  if (line === null) return EXIT_DONE;
  const { values, positionals } = line;
  const timeoutMs = durationOption('timeout', values.timeout);
  const fd = fdOption(values['password-fd']);
  if (fd !== undefined && fd <= 2) {
    throw new UsageError(`--password-fd must not be one of the stream's own, 0, 1 and 2, not ${fd}`);
  }
  const profile = await profileOf(values);
  const destination = destinationOf(profile, positionals);
  await connectAndRelay(await clientOf(profile, values), { ...destination, timeoutMs });
  return EXIT_DONE;
}
