// Configurations for tests, and what is wrong with them as lines.

import type { HostFile } from '../../lib/config/files.ts';
import { ConfigError } from '../../lib/config/problems.ts';
import { parseConfig } from '../../lib/config/load.ts';
import type { GatewayConfig } from '../../lib/config/schema.ts';

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

/** The key files that are there unless a test says otherwise. */
const OURS: Host['files'] = {
  '/gw/field.key': {},
  '/gw/other.key': { text: OTHER_SECRET },
  '/gw/gateway.key': { text: Buffer.alloc(32, 0x11).toString('base64') },
};

export interface Host {
  /** Permission bits of the configuration itself. */
  readonly mode?: number;
  /** Files that it names, by path. */
  readonly files?: Readonly<Record<string, Partial<HostFile>>>;
}

export function parsed(text: string, { mode = 0o600, files = {} }: Host = {}): Promise<GatewayConfig> {
  const all: Host['files'] = { ...OURS, ...files };
  const uid = process.getuid?.() ?? 0;
  const readFile = (path: string): Promise<HostFile> => {
    const file = all[path];
    if (file === undefined)
      return Promise.reject(Object.assign(new Error('no such file'), { code: 'ENOENT' }));
    return Promise.resolve({ text: SECRET, mode: 0o600, uid, regular: true, whole: true, ...file });
  };
  return parseConfig(text, { path: FILE, mode, readFile });
}

/** Two public keys, and one of another type. */
export const [KEY, OTHER_KEY] = [publicKey(1), publicKey(2)];
export const RSA_KEY = 'ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ==';

/** A valid configuration with an SPA client; tests replace parts of it. */
export const SPA = `gateway: gw.example
interface: eth0
access_key_file: gateway.key
services:
  ssh: { port: 22 }
clients:
  alice: { scheme: spa, key: "${KEY} alice@laptop", services: [ssh] }
`;

/** The type and the blob of an Ed25519 key that nobody has. */
export function publicKey(n: number): string {
  const blob = Buffer.concat([
    Buffer.from('0000000b7373682d6564323535313900000020', 'hex'),
    Buffer.alloc(28, 0x42),
    Buffer.from([n >>> 24, n >>> 16, n >>> 8, n]),
  ]);
  return `ssh-ed25519 ${blob.toString('base64')}`;
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
