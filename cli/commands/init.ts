// portknock init: a new gateway's configuration, access key and replay state.

import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { createConfig } from '../../lib/index.ts';
import type { Account } from '../account.ts';
import { accountFor, handOver } from '../initialising.ts';
import { readArgs, UsageError } from '../args.ts';
import { INIT } from '../manual/init.ts';
import { EXIT_DONE, print, tell } from '../report.ts';

const USUAL_CONFIG = '/etc/portknock/portknockd.yaml';

/** Runs the command. */
export async function run(args: readonly string[]): Promise<number> {
  const line = readArgs(args, INIT);
  if (line === null) return EXIT_DONE;
  const { service = ['ssh=22'], dir, config, interface: device, gateway } = line.values;
  if (dir !== undefined && config !== undefined)
    throw new UsageError('--dir and --config exclude each other');
  const path = resolve(config ?? (dir === undefined ? USUAL_CONFIG : `${dir}/portknockd.yaml`));
  const services = service.map(serviceOf);
  const account = await accountFor(line.values.user, path);
  const files = await createConfig({
    path,
    services,
    ...(device === undefined ? {} : { interface: device }),
    ...(gateway === undefined ? {} : { gateway }),
    ...userOf(account, line.values.user),
  });
  if (account !== null) await handOver(account, files);
  for (const file of files) print(file);
  if (gateway === undefined)
    tell(`clients will call this host ${hostname()} (if they do not, change gateway: in ${path})`);
  const where = path === USUAL_CONFIG ? '' : ` --config ${path}`;
  tell("next: take a client's public key (~/.ssh/id_ed25519.pub will do) here as NAME.pub, and:");
  tell(`  portknock add-client NAME --key NAME.pub${where}`);
  return EXIT_DONE;
}

/** What the configuration says: nothing where an account was wanted and could not be made. */
function userOf(account: Account | null, named: string | undefined): { readonly user?: string } {
  if (account !== null) return { user: account.name };
  return named === 'root' ? { user: named } : {};
}

function serviceOf(text: string): { name: string; port: number } {
  const parts = /^([a-z0-9][a-z0-9-]{0,31})=(\d{1,5})$/u.exec(text);
  const port = Number(parts?.[2] ?? 0);
  if (parts?.[1] !== undefined && port >= 1 && port <= 65535) return { name: parts[1], port };
  throw new UsageError(`--service must be NAME=PORT, not '${text}' (as in ssh=22)`);
}
