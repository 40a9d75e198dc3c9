// portknock add-client: a new client in the configuration, with its secret and its profile.

import { basename, resolve } from 'node:path';
import { addClient, type NewClient } from '../../lib/index.ts';
import { listOption, readArgs, UsageError, wordOption } from '../args.ts';
import { EXIT_DONE, print, tell } from '../report.ts';

const HELP = `usage: portknock add-client NAME --one-time --services ssh [options]
       portknock add-client NAME --sequence 7000/tcp,9000/udp,... --services ssh

Adds a client to the gateway's configuration (comments are kept) and writes its
secret NAME.key and its profile NAME.knock beside it, readable by you only.

      --one-time         hashed one-time sequences: recorded, they are worthless
      --digest md5       for devices without SHA-256
      --carrier tcp      knocks that any program can send that can connect
      --sequence PORTS   a plain sequence: whoever records it can repeat it
  -s, --services ssh,..  what the client may open
      --host HOST        what the client calls the gateway (default: as in F)
  -c, --config F         default /etc/portknock/portknockd.yaml
  -o, --out FILE         the profile (default NAME.knock beside F)
  -h, --help             this text
  -V, --version          the version
`;

const OPTIONS = {
  'one-time': { type: 'boolean' },
  digest: { type: 'string', default: 'sha256' },
  carrier: { type: 'string', default: 'udp' },
  sequence: { type: 'string' },
  services: { type: 'string', short: 's' },
  host: { type: 'string' },
  config: { type: 'string', short: 'c', default: '/etc/portknock/portknockd.yaml' },
  out: { type: 'string', short: 'o' },
} as const;

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, {
    program: 'portknock add-client',
    help: HELP,
    options: OPTIONS,
    words: [1, 1],
  });
  if (line === null) return EXIT_DONE;
  const { values, positionals } = line;
  const [name = ''] = positionals;
  const { host, out, config: path } = values;
  if (values.services === undefined) throw new UsageError('--services is missing (as in --services ssh)');
  const services = listOption('services', values.services);
  const client = clientOf(values);
  const place = { ...(host === undefined ? {} : { host }), ...(out === undefined ? {} : { out }) };
  const { profile, files } = await addClient({ path, name, client, services, ...place }).catch(
    (error: unknown) => {
      // The library's word for a caller's mistake; here the caller is the command line.
      if (error instanceof RangeError) throw new UsageError(error.message);
      throw error;
    },
  );
  for (const file of files) print(resolve(file));
  tell(`next: restart portknockd, take ${profile} to the client (whoever has it can knock), and there:`);
  tell(`  portknock send -p ${basename(profile)} ${services[0] ?? ''} --wait`);
  return EXIT_DONE;
}

function clientOf(values: {
  'one-time'?: boolean;
  sequence?: string;
  digest: string;
  carrier: string;
}): NewClient {
  const { 'one-time': oneTime, sequence } = values;
  if (oneTime === true && sequence !== undefined)
    throw new UsageError('--one-time and --sequence exclude each other');
  if (sequence !== undefined) return { scheme: 'sequence', sequence: listOption('sequence', sequence) };
  if (oneTime !== true)
    throw new UsageError('single packet authorization comes in a later version (use --one-time)');
  const digest = wordOption('digest', values.digest, ['sha256', 'md5']);
  return { scheme: 'one-time', digest, carrier: wordOption('carrier', values.carrier, ['udp', 'tcp']) };
}
