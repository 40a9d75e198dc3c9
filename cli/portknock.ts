#!/usr/bin/env node
// portknock: the client and the gateway's helper. Each subcommand is loaded only when it is the one that runs,
// so that `send` starts without yaml, pcap and the listener.

import { readArgs, UsageError } from './args.ts';
import { EXIT_DONE, fail } from './report.ts';

type Run = (args: readonly string[]) => Promise<number>;

const COMMANDS: Readonly<Record<string, () => Promise<{ readonly run: Run }>>> = {
  send: () => import('./commands/send.ts'),
  connect: () => import('./commands/connect.ts'),
  keygen: () => import('./commands/keygen.ts'),
  seal: () => import('./commands/seal.ts'),
  import: () => import('./commands/import.ts'),
  init: () => import('./commands/init.ts'),
  'add-client': () => import('./commands/add-client.ts'),
  'install-service': () => import('./commands/install-service.ts'),
  status: () => import('./commands/status.ts'),
  grants: () => import('./commands/grants.ts'),
  revoke: () => import('./commands/revoke.ts'),
  reload: () => import('./commands/reload.ts'),
  check: () => import('./commands/check.ts'),
  explain: () => import('./commands/explain.ts'),
  completion: () => import('./commands/completion.ts'),
};

async function main([name, ...rest]: readonly string[]): Promise<number> {
  const load = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (load !== undefined) return (await load()).run(rest);
  if (name === undefined) throw new UsageError('command is missing (see portknock --help)');
  if (!name.startsWith('-')) throw new UsageError(`command is not known: '${name}' (see portknock --help)`);
  const { PORTKNOCK } = await import('./manual/portknock.ts');
  readArgs([name, ...rest], PORTKNOCK);
  return EXIT_DONE;
}

process.exitCode = await main(process.argv.slice(2)).catch((error: unknown) => fail('portknock', error));
