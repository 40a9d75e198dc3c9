// portknock add-client: a new client in the configuration, and its profile.

import { resolve } from 'node:path';
import { addClient, sealProfile } from '../../lib/index.ts';
import { announce, newClientOf, tellNext } from '../adding.ts';
import { listOption, readArgs, UsageError } from '../args.ts';
import { fdOption, newSecret } from '../password.ts';
import { profilePassword } from '../profile.ts';
import { EXIT_DONE, print } from '../report.ts';

const HELP = `usage: portknock add-client NAME --key FILE.pub [options]
       portknock add-client NAME --psk | --one-time | --sequence PORTS [options]

Adds a client to the gateway's configuration (comments are kept), writes its
profile NAME.knock, and tells a running portknockd.

      --key FILE.pub     its OpenSSH public key (ssh-ed25519); - reads it from
                         standard input. Its private half signs the knocks
      --psk              a shared secret instead, within the profile
      --one-time         hashed one-time sequences: for devices of few means
      --digest md5       of these, for devices without SHA-256
      --carrier tcp      of these, for programs that can only connect
      --sequence PORTS   7000/tcp,9000/udp,...: whoever records it can repeat it
  -s, --services ssh,..  what the client may open (default: all services)
      --bind observed    whom knocks are for: where they come from (observed),
                         or the address (exact) or prefix that they name
      --seal             put the profile under a password
      --password-fd N    read that from this open file; without it
                         PORTKNOCK_PASSWORD, or asked for
      --host HOST        what the client calls the gateway (default: as in F)
  -c, --config F         default /etc/portknock/portknockd.yaml
  -o, --out FILE         the profile (default NAME.knock beside F)
  -h, --help             this text
  -V, --version          the version
`;

const OPTIONS = {
  key: { type: 'string' },
  psk: { type: 'boolean' },
  'one-time': { type: 'boolean' },
  digest: { type: 'string' },
  carrier: { type: 'string' },
  sequence: { type: 'string' },
  services: { type: 'string', short: 's' },
  bind: { type: 'string' },
  seal: { type: 'boolean' },
  'password-fd': { type: 'string' },
  host: { type: 'string' },
  config: { type: 'string', short: 'c', default: '/etc/portknock/portknockd.yaml' },
  out: { type: 'string', short: 'o' },
} as const;

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const program = 'portknock add-client';
  const line = readArgs(args, { program, help: HELP, options: OPTIONS, words: [1, 1] });
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
