// portknock add-client: a new client in the configuration, and its profile.

import { resolve } from 'node:path';
import { addClient, sealProfile } from '../../lib/index.ts';
import { announce, newClientOf, tellNext } from '../adding.ts';
import { listOption, readArgs, UsageError } from '../args.ts';
import { ADD_CLIENT } from '../manual/add-client.ts';
import { fdOption, newSecret } from '../password.ts';
import { profilePassword } from '../profile.ts';
import { EXIT_DONE, print } from '../report.ts';

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, ADD_CLIENT);
  if (line === null) return EXIT_DONE;
  const { values, positionals } = line;
  const [name = ''] = positionals;
  const { host, out, config: path } = values;
  const client = await newClientOf(values);
  const password = profilePassword(`${name}.knock`, fdOption(values['password-fd']));
  const added = await addClient({
    ...{ path, name, client },
    ...(values.services === undefined ? {} : { services: listOption('services', values.services) }),
    ...(host === undefined ? {} : { host }),
    ...(out === undefined ? {} : { out }),
    ...(values.seal === true
      ? { seal: async (text: string) => sealProfile(text, await newSecret(password)) }
      : {}),
  }).catch((error: unknown) => {
    // The library's word for a caller's mistake; here the caller is the command line.
    throw error instanceof RangeError ? new UsageError(error.message) : error;
  });
  for (const file of added.files) print(resolve(file));
  const code = await announce(path);
  await tellNext(path, name, added.profile);
  return code;
}
