// portknock check: how strong the configured knocks are.

import { formatProblem, loadConfig, type ClientConfig } from '../../lib/index.ts';
import { readArgs } from '../args.ts';
import { EXIT_DONE, print, tell } from '../report.ts';

const HELP = `usage: portknock check [--config F]

Prints how many bits an outsider has to guess for each client, and warns below
60.

  -c, --config F   default /etc/portknock/portknockd.yaml
  -h, --help       this text
  -V, --version    the version

Exit: 0 valid, 2 not.
`;

const OPTIONS = {
  config: { type: 'string', short: 'c', default: '/etc/portknock/portknockd.yaml' },
} as const;

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, { program: 'portknock check', help: HELP, options: OPTIONS, words: [0, 0] });
  if (line === null) return EXIT_DONE;
  const { clients, warnings } = await loadConfig(line.values.config);
  for (const warning of warnings) tell(formatProblem(warning), 'yellow');
  const width = Math.max(0, ...clients.map(({ name }) => name.length));
  for (const client of clients) {
    print(
      `${client.name.padEnd(width)}  ${kindOf(client).padEnd(17)}  ${String(client.bits).padStart(4)} bits`,
    );
  }
  return EXIT_DONE;
}

function kindOf(client: ClientConfig): string {
  switch (client.scheme) {
    case 'spa':
      return 'publicKey' in client.key ? 'spa public key' : 'spa shared secret';
    case 'one-time':
      return `one-time over ${client.key.carrier}`;
    case 'sequence':
      return 'sequence';
    case 'fwknop':
      return client.key.hmacKey === null ? 'fwknop, no HMAC' : 'fwknop';
    case 'sequence-list':
      return 'sequence list';
  }
}
