// portknock check: how strong the configured knocks are.

import { formatProblem, loadConfig, type ClientConfig } from '../../lib/index.ts';
import { readArgs } from '../args.ts';
import { CHECK } from '../manual/check.ts';
import { EXIT_DONE, print, tell } from '../report.ts';

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, CHECK);
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
