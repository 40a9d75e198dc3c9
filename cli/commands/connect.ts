// portknock connect: knocks and becomes the connection, as ssh's ProxyCommand. Imports the light entry only.

import { durationOption, readArgs, UsageError } from '../args.ts';
import { clientOf, KNOCK_OPTIONS, profileOf } from '../client.ts';
import { connectAndRelay, destinationOf } from '../connecting.ts';
import { fdOption } from '../password.ts';
import { EXIT_DONE } from '../report.ts';

const HELP = `usage: portknock connect -p PROFILE [HOST PORT] [options]

Knocks at the gateway of the profile, connects to HOST PORT, and passes standard
input and output through the connection. With ssh:

  ssh -o ProxyCommand='portknock connect -p alice.knock %h %p' HOST

or for good, in ~/.ssh/config:

  Host HOST
    ProxyCommand portknock connect -p ~/alice.knock %h %p

PORT must be that of a service of the profile. Without HOST PORT: the profile's
host and its only service.

  -p, --profile FILE   the profile; without it PORTKNOCK_PROFILE (path or text)
  -t, --timeout 10s    give up after this time without a connection
  -i, --identity FILE  the private key that signs; without it PORTKNOCK_KEY
                       (path or text), the ssh-agent, ~/.ssh/id_ed25519 and
                       ~/.ssh/portknock_ed25519, whichever has it
      --source ADDRESS where the connection comes from, as the gateway sees it
      --password-fd N  read a sealed profile's password from this open file;
                       without it PORTKNOCK_PASSWORD, or asked for
  -4, -6               only IPv4, only IPv6
  -h, --help           this text
  -V, --version        the version

Exit: 0 the stream ended, 1 no connection or a broken one, 2 usage, profile or
key.
`;

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, {
    program: 'portknock connect',
    help: HELP,
    options: KNOCK_OPTIONS,
    words: [0, 2],
  });
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
