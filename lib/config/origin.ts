// Where a gateway's configuration comes from, as a value that both halves of portknockd can be told: a file of ours or a
// knockd.conf, and what the command line says instead of it.

import { KnockError } from '../errors.ts';
import { findAccount } from './account.ts';
import type { ConfigReader } from './bundle.ts';
import { readHostFile } from './files.ts';
import { loadKnockdFrom, type KnockdOptions } from './knockd-load.ts';
import { parseConfig, readConfig } from './load.ts';
import type { GatewayConfig } from './schema.ts';

/** Which file, and how it is to be read. */
export interface ConfigOrigin {
  readonly path: string;
  /** It is a knockd.conf. */
  readonly knockd?: KnockdOptions;
  /** In place of its `user`. */
  readonly user?: string;
}

/** Loads it; from this host's files unless a reader is given. @throws ConfigError, KnockError `ERR_CONFIG` for `user` */
export async function loadOrigin(origin: ConfigOrigin, reader?: ConfigReader): Promise<GatewayConfig> {
  const { config: read = readConfig, file = readHostFile } = reader ?? {};
  const { path, knockd, user } = origin;
  const config =
    knockd === undefined
      ? await ours(path, { config: read, file })
      : await loadKnockdFrom(path, knockd, { config: read, file });
  if (user === undefined) return config;
  const account = await findAccount(user, file);
  if (account !== 'root' && 'problem' in account) throw new KnockError('ERR_CONFIG', `--${account.problem}`);
  return { ...config, user: account };
}

async function ours(path: string, { config, file: readFile }: ConfigReader): Promise<GatewayConfig> {
  const { text, mode } = await config(path);
  return parseConfig(text, { path, mode, readFile });
}
