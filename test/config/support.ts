// Configurations for tests, and what is wrong with them as lines.

import { ConfigError } from '../../lib/config/problems.ts';
import { parseConfig } from '../../lib/config/load.ts';
import type { GatewayConfig } from '../../lib/config/schema.ts';
import type { SecretFile } from '../../lib/config/secrets.ts';

export const SECRET = Buffer.alloc(32, 0xa5).toString('base64');
export const OTHER_SECRET = Buffer.alloc(32, 0x5a).toString('base64');
export const FILE = '/gw/portknockd.yaml';

/** A valid configuration; tests replace parts of it. */
export const VALID = `gateway: gw.example
interface: eth0
services:
  ssh: { port: 22 }
clients:
  field: { scheme: one-time, secret_file: field.key, services: [ssh] }
`;

export interface Host {
  /** Permission bits of the configuration itself. */
  readonly mode?: number;
  /** Secret files by path. */
  readonly files?: Readonly<Record<string, Partial<SecretFile>>>;
}

export function parsed(text: string, { mode = 0o600, files = {} }: Host = {}): Promise<GatewayConfig> {
  const all: Host['files'] = { '/gw/field.key': {}, '/gw/other.key': { text: OTHER_SECRET }, ...files };
  const uid = process.getuid?.() ?? 0;
  const readSecretFile = (path: string): Promise<SecretFile> => {
    const file = all[path];
    if (file === undefined)
      return Promise.reject(Object.assign(new Error('no such file'), { code: 'ENOENT' }));
    return Promise.resolve({ text: SECRET, mode: 0o600, uid, regular: true, ...file });
  };
  return parseConfig(text, { path: FILE, mode, readSecretFile });
}

/** Every line of the refusal, without the file's name. */
export async function problems(text: string, host?: Host): Promise<readonly string[]> {
  try {
    await parsed(text, host);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.message.split('\n').map((line) => line.replace(`${FILE}:`, ''));
  }
  return [];
}
