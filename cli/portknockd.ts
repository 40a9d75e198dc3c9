#!/usr/bin/env node
// portknockd: the gateway's daemon, in the foreground.

import { resolve } from 'node:path';
import {
  loadOrigin,
  recordingReader,
  requirePrograms,
  separationOf,
  type ConfigOrigin,
} from '../lib/halves.ts';
import { assemble, formatProblem, type GatewayConfig } from '../lib/index.ts';
import { readArgs, UsageError, wordOption, type Values } from './args.ts';
import { keepWarden, OTHER_HALF, verify } from './halves.ts';
import { knockdOptions } from './knockd.ts';
import { PORTKNOCKD } from './manual/portknockd.ts';
import { eventLog, EXIT_DONE, fail, print, tell, type EventLog } from './report.ts';
import { serve } from './serve.ts';

async function main(args: readonly string[]): Promise<number> {
  const line = readArgs(args, PORTKNOCKD);
  if (line === null) return EXIT_DONE;
  const { check, teardown, 'dry-run': dryRun = false } = line.values;
  if ([check, teardown, dryRun].filter((given) => given === true).length > 1) {
    throw new UsageError('--check, --teardown and --dry-run exclude each other');
  }
  const format = wordOption('log', line.values.log, PORTKNOCKD.options.log.completes);
  const { origin, named } = originOf(line.values);
  const { reader, read } = recordingReader();
  const config = await loadOrigin(origin, reader);
  if (check === true) return checked(config);
  const log = eventLog(format);
  warn(config, log);
  if (teardown === true) return removeRules(config, log);
  const { account, warning } = dryRun ? { account: null, warning: null } : await separationOf(config);
  if (warning !== null) log('warning', { message: warning });
  if (account === null) return serve(config, { dryRun, log, format, load: () => loadOrigin(origin), named });
  return keepWarden({ account, origin, config, files: read(), greeting: { format, named }, log });
}

/** Where the configuration comes from, at the start and at every reload; `named`: the options that name it. */
function originOf(values: Values<typeof PORTKNOCKD>): {
  readonly origin: ConfigOrigin;
  readonly named: string;
} {
  const { config, knockd, user } = values;
  if (config !== undefined && knockd !== undefined)
    throw new UsageError('--config and --knockd exclude each other');
  const as = user === undefined ? {} : { user };
  if (knockd !== undefined) {
    return {
      origin: { path: knockd, knockd: knockdOptions(values), ...as },
      named: `--knockd ${resolve(knockd)}`,
    };
  }
  const stray = OF_KNOCKD.find((name) => values[name] !== undefined);
  if (stray !== undefined) throw new UsageError(`--${stray} is for --knockd (see portknockd --help)`);
  const path = config ?? '/etc/portknock/portknockd.yaml';
  return { origin: { path, ...as }, named: `--config ${path}` };
}

const OF_KNOCKD = ['interface', 'state', 'strict', 'allow-shell'] as const;

/** What would end a start at once is found here, before the old daemon is stopped. */
async function checked(config: GatewayConfig): Promise<number> {
  for (const warning of config.warnings) tell(formatProblem(warning), 'yellow');
  const { account } = await separationOf(config);
  if (account !== null) await requirePrograms(account, process.argv[1] ?? '');
  print('configuration is valid');
  return EXIT_DONE;
}

async function removeRules(config: GatewayConfig, log: EventLog): Promise<number> {
  const { driver } = assemble(config);
  await driver.teardown();
  log('teardown', { driver: driver.name });
  return EXIT_DONE;
}

function warn({ warnings }: GatewayConfig, log: EventLog): void {
  for (const warning of warnings) log('warning', { message: formatProblem(warning) });
}

// A log reader that went away must not take the gateway with it.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
const args = process.argv.slice(2);
const run = args[0] === OTHER_HALF ? verify() : main(args);
process.exitCode = await run.catch((error: unknown) => fail('portknockd', error));
