// What `init`, `add-client` and `keygen` do: make files with secrets in them, all or none, never over old ones.

import { randomBytes } from 'node:crypto';
import { mkdir, readFile, stat } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { KnockError, printable } from '../errors.ts';
import { formatProfile, parseProfile, type Profile } from '../knocker/profile.ts';
import { createReplay, replayFile } from './assemble.ts';
import { addClientText, newConfigText } from './edit.ts';
import { loadConfig, parseConfig } from './load.ts';
import { CLIENT_NAME, type ClientConfig, type GatewayConfig } from './schema.ts';
import { readSecretFile } from './secrets.ts';
import { exists, removeFiles, replaceFile, requireAbsent, writeError, writeNewFiles } from './write.ts';

const SYSTEM_DIRECTORY = '/etc/portknock';
const SYSTEM_STATE = '/var/lib/portknock';
const SECRET_BYTES = 32;

/** What {@link createConfig} writes, and where. */
export interface CreateConfigOptions {
  /** The configuration file. */
  readonly path: string;
  readonly services: readonly { readonly name: string; readonly port: number }[];
  /** The interface of the default route unless said. */
  readonly interface?: string;
  /** The host's name unless said. */
  readonly gateway?: string;
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
  });
  const secret = newSecret();
  await parseConfig(text, { path, readSecretFile: () => Promise.resolve(ours(secret)) });
  await requireAbsent([path, keyFile]);
  await makeDirectory(directory);
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

/** How a new client will knock. */
export type NewClient =
  | { readonly scheme: 'one-time'; readonly digest?: 'sha256' | 'md5'; readonly carrier?: 'udp' | 'tcp' }
  | { readonly scheme: 'sequence'; readonly sequence: readonly string[] };

/** Which client {@link addClient} adds, and where. */
export interface AddClientOptions {
  /** The configuration file. */
  readonly path: string;
  readonly name: string;
  readonly client: NewClient;
  readonly services: readonly string[];
  /** What the client calls the gateway; the configuration's `gateway` unless said. */
  readonly host?: string;
  /** The profile's file; `NAME.knock` beside the configuration unless said. */
  readonly out?: string;
}

/**
 * Adds a client: its secret (`NAME.key`, 0600), its entry in the configuration, its profile (0600).
 *
 * @throws ConfigError, RangeError for a service that is not configured
 * @throws KnockError `ERR_EXISTS`, `ERR_WRITE`; nothing is changed then
 */
export async function addClient(
  options: AddClientOptions,
): Promise<{ profile: string; files: readonly string[] }> {
  const { path, name, client, services } = options;
  const config = await loadConfig(path);
  requireNewClient(config, name, services);
  const host = options.host ?? config.gateway;
  if (host === null) throw new TypeError('host must be given, the configuration has no gateway');
  const directory = dirname(resolve(path));
  const keyFile = join(directory, `${name}.key`);
  const profileFile = resolve(options.out ?? join(directory, `${name}.knock`));
  const text = addClientText(await readFile(path, 'utf8'), name, entryOf(config, name, client, services));
  const secret = newSecret();
  const added = await parseConfig(text, {
    path,
    mode: (await stat(path)).mode & 0o777,
    readSecretFile: (file) => (file === keyFile ? Promise.resolve(ours(secret)) : readSecretFile(file)),
  });
  const profile = { path: profileFile, text: formatProfile(profileOf(added, name, host)) };
  parseProfile(profile.text);
  const key = { path: keyFile, text: `${secret}\n` };
  const files = client.scheme === 'one-time' ? [key, profile] : [profile];
  await writeNewFiles(files);
  try {
    await replaceFile(path, text);
  } catch (error) {
    await removeFiles(files.map((file) => file.path));
    throw error;
  }
  return { profile: profileFile, files: [path, ...files.map((file) => file.path)] };
}

/** A new secret in base64, and with `path` in a new file (0600). @throws KnockError `ERR_EXISTS`, `ERR_WRITE` */
export async function createSecret(path?: string): Promise<string> {
  const secret = newSecret();
  if (path !== undefined) await writeNewFiles([{ path, text: `${secret}\n` }]);
  return secret;
}

function requireNewClient(
  { clients, services: known }: GatewayConfig,
  name: string,
  services: readonly string[],
): void {
  if (!CLIENT_NAME.test(name)) {
    throw new RangeError(
      `name must be letters, digits, dot, dash and underscore, at most 64, got '${printable(name, 70)}'`,
    );
  }
  if (clients.some((client) => client.name === name)) {
    throw new KnockError(
      'ERR_EXISTS',
      `client is in the configuration already: ${printable(name)} (choose another name)`,
    );
  }
  const stranger = services.find((service) => !Object.hasOwn(known, service));
  if (stranger === undefined) return;
  throw new RangeError(
    `services must be among ${Object.keys(known).join(', ')}, got '${printable(stranger, 60)}'`,
  );
}

function entryOf(
  { source }: GatewayConfig,
  name: string,
  client: NewClient,
  services: readonly string[],
): Record<string, unknown> {
  if (client.scheme === 'sequence') return { scheme: client.scheme, sequence: client.sequence, services };
  const { scheme, digest = 'sha256', carrier = 'udp' } = client;
  return {
    scheme,
    secret_file: `${name}.key`,
    digest,
    ...(carrier === 'udp' ? {} : { carrier }),
    // Knocks outside of the bound ports would never be heard.
    ...(source.kind === 'socket' ? { ports: source.ports.join('-') } : {}),
    services,
  };
}

function profileOf(config: GatewayConfig, name: string, host: string): Profile {
  const client = config.clients.find((each) => each.name === name);
  if (client === undefined) throw new Error('the client that was added must be there');
  const services = Object.fromEntries(
    client.services.map((each) => [each, config.services[each]?.port ?? 0]),
  );
  const base = { host, client: name, services };
  if (client.scheme === 'sequence') return { ...base, scheme: 'sequence', sequence: client.sequence };
  return { ...base, scheme: 'one-time', ...oneTimeFields(client) };
}

function oneTimeFields({ key }: ClientConfig & { scheme: 'one-time' }) {
  const { secret, digest, knocks, ports, stepSeconds: step, carrier } = key;
  return { secret, digest, knocks, ports, step, carrier };
}

async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
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

function newSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64');
}

function ours(text: string) {
  return { text, mode: 0o600, uid: process.getuid?.() ?? 0, regular: true };
}
