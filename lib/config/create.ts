// What `init` and `keygen` do: make files with secrets in them, all or none, never over old ones.

import { mkdir, readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { generateSshKey } from '../crypto/ssh-key.ts';
import { createReplay, replayFile } from './assemble.ts';
import { newConfigText } from './edit.ts';
import { readHostFile } from './files.ts';
import { parseConfig } from './load.ts';
import { newSecret, ownFile } from './new-secret.ts';
import { exists, removeFiles, requireAbsent, writeError, writeNewFiles } from './write.ts';

const SYSTEM_DIRECTORY = '/etc/portknock';
const SYSTEM_STATE = '/var/lib/portknock';

/** What {@link createConfig} writes, and where. */
export interface CreateConfigOptions {
  /** The configuration file. */
  readonly path: string;
  readonly services: readonly { readonly name: string; readonly port: number }[];
  /** The interface of the default route unless said. */
  readonly interface?: string;
  /** The host's name unless said. */
  readonly gateway?: string;
  /** The account that the half without rights runs as; `root` for none, on purpose. */
  readonly user?: string;
}

/** Makes a gateway: configuration, access key (0600) and empty replay state. @throws KnockError `ERR_EXISTS`, `ERR_WRITE` */
export async function createConfig(options: CreateConfigOptions): Promise<readonly string[]> {
  const path = resolve(options.path);
  const directory = dirname(path);
  const keyFile = join(directory, 'gateway.key');
  const stateDir = directory === SYSTEM_DIRECTORY ? SYSTEM_STATE : 'state';
  const replay = replayFile(resolve(directory, stateDir));
  const text = newConfigText({
    gateway: options.gateway ?? hostname(),
    interface: options.interface ?? (await defaultInterface()),
    services: options.services,
    accessKeyFile: 'gateway.key',
    stateDir,
    ...(options.user === undefined ? {} : { user: options.user }),
  });
  const secret = newSecret();
  await parseConfig(text, {
    path,
    readFile: async (file, most) => (file === keyFile ? ownFile(secret) : readHostFile(file, most)),
  });
  await requireAbsent([path, keyFile]);
  // The account has to pass through to its state; the names in there are no secret.
  const passable = ![undefined, 'root'].includes(options.user) && stateDir !== SYSTEM_STATE;
  await makeDirectory(directory, passable ? 0o711 : 0o700);
  // State that is there already is kept: a knock that was used stays used.
  const fresh = !(await exists(replay));
  if (fresh) await createReplay(replay);
  const files = [
    { path: keyFile, text: `${secret}\n` },
    { path, text },
  ];
  try {
    await writeNewFiles(files);
  } catch (error) {
    if (fresh) await removeFiles([replay]);
    throw error;
  }
  return fresh ? [path, keyFile, replay] : [path, keyFile];
}

/** A new secret in base64, and with `path` in a new file (0600). @throws KnockError `ERR_EXISTS`, `ERR_WRITE` */
export async function createSecret(path?: string): Promise<string> {
  const secret = newSecret();
  if (path !== undefined) await writeNewFiles([{ path, text: `${secret}\n` }]);
  return secret;
}

/**
 * A new Ed25519 key pair in OpenSSH's form: the private half at `path` (0600), the public line at `path`.pub. Resolves
 * to both paths.
 *
 * @throws KnockError `ERR_EXISTS`, `ERR_WRITE`; nothing is left behind then
 */
export async function createKeyPair(options: {
  readonly path: string;
  readonly comment: string;
}): Promise<readonly string[]> {
  const { path, comment } = options;
  const files = [path, `${path}.pub`] as const;
  await requireAbsent(files);
  const { privateText, publicLine } = generateSshKey(comment);
  await writeNewFiles([
    { path: files[0], text: privateText },
    { path: files[1], text: `${publicLine}\n`, mode: 0o644 },
  ]);
  return files;
}

async function makeDirectory(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode });
  } catch (error) {
    throw writeError(path, error);
  }
}

/** The interface of the IPv4 default route, or `any`. */
async function defaultInterface(): Promise<string> {
  const table = await readFile('/proc/net/route', 'utf8').catch(() => '');
  const rows = table.split('\n').map((row) => row.split('\t'));
  return rows.find(([, destination]) => destination === '00000000')?.[0] ?? 'any';
}
