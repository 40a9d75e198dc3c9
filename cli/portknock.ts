#!/usr/bin/env node
// portknock: the client and the gateway's helper. Each subcommand is loaded only when it is the one that runs,
// so that `send` starts without yaml, pcap and the listener.

import { readArgs, UsageError } from './args.ts';
import { EXIT_DONE, fail } from './report.ts';

type Run = (args: readonly string[]) => Promise<number>;

const HELP = `usage: portknock COMMAND [options]

On a client
  send         knock, and with --wait until the port accepts a connection
  connect      knock and become the connection: ssh's ProxyCommand
  keygen       make a key pair, or a secret
  seal         put a profile under a password

On either
  import       take over a knockd.conf, or a stanza of fwknop's client

On the gateway
  init         write a new gateway configuration
  add-client   add a client and write its profile
  install-service  make portknockd a service of systemd
  reload       have the running portknockd take its configuration anew
  check        show how strong the configured knocks are
  explain      say of a capture what the gateway would have done, and why

Each command explains itself: portknock COMMAND --help
`;

const COMMANDS: Readonly<Record<string, () => Promise<{ readonly run: Run }>>> = {
  send: () => import('./commands/send.ts'),
  connect: () => import('./commands/connect.ts'),
  keygen: () => import('./commands/keygen.ts'),
  seal: () => import('./commands/seal.ts'),
  import: () => import('./commands/import.ts'),
  init: () => import('./commands/init.ts'),
  'add-client': () => import('./commands/add-client.ts'),
  'install-service': () => import('./commands/install-service.ts'),
  reload: () => import('./commands/reload.ts'),
  check: () => import('./commands/check.ts'),
  explain: () => import('./commands/explain.ts'),
};

async function main([name, ...rest]: readonly string[]): Promise<number> {
  const load = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (load !== undefined) return (await load()).run(rest);
  if (name === undefined) throw new UsageError(`command is missing: ${Object.keys(COMMANDS).join(', ')}`);
  if (!name.startsWith('-')) throw new UsageError(`command is not known: '${name}' (see portknock --help)`);
  readArgs([name, ...rest], { program: 'portknock', help: HELP, options: {}, words: [0, 0] });
  return EXIT_DONE;
}

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => fail('portknock', error));
