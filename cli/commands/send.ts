// portknock send: knocks, and on demand waits until the port accepts. Imports the light entry only.

import { durationOption, readArgs, UsageError } from '../args.ts';
import { clientOf, KNOCK_OPTIONS, profileOf, serviceOf } from '../client.ts';
import { EXIT_DONE, print } from '../report.ts';
import { failureJson, send } from '../sending.ts';

const HELP = `usage: portknock send -p PROFILE [SERVICE] [options]

Knocks at the gateway of the profile. Without --wait nothing tells whether the
knock was accepted: the gateway never answers, the port is open or it is not.

  -p, --profile FILE   the profile; without it PORTKNOCK_PROFILE (path or text)
  -w, --wait           knock until SERVICE's port accepts a connection, close
                       it, and knock once more: the port is then open again
      --close          close again what earlier knocks opened
  -t, --timeout 10s    give up after this time
  -i, --identity FILE  the private key that signs; without it PORTKNOCK_KEY
                       (path or text), the ssh-agent, ~/.ssh/id_ed25519 and
                       ~/.ssh/portknock_ed25519, whichever has it
      --source ADDRESS where the connection will come from, as the gateway
                       sees it; or a prefix as 198.51.100.0/24
      --password-fd N  read a sealed profile's password from this open file;
                       without it PORTKNOCK_PASSWORD, or asked for
  -4, -6               only IPv4, only IPv6
      --json           one JSON object on stdout
  -h, --help           this text
  -V, --version        the version

The passphrase of a private key: PORTKNOCK_PASSPHRASE, or asked for.
Exit: 0 sent (with --wait: the port accepted), 1 failed, 2 usage, profile or
key.
`;

const OPTIONS = {
  ...KNOCK_OPTIONS,
  wait: { type: 'boolean', short: 'w' },
  close: { type: 'boolean' },
  json: { type: 'boolean' },
} as const;

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, { program: 'portknock send', help: HELP, options: OPTIONS, words: [0, 1] });
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
