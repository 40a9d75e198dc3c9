// What `add-client` does: a new client in the configuration, with its secret and its profile; all of them or none.

import { dirname, join, resolve } from 'node:path';
import { KnockError, printable } from '../errors.ts';
import { formatProfile, parseProfile } from '../knocker/profile.ts';
import { addClientText } from './edit.ts';
import { readHostFile } from './files.ts';
import { parseConfig, readConfig } from './load.ts';
import { entryOf, hasSecretFile, profileOf, type NewClient } from './new-client.ts';
import { newSecret, ownFile } from './new-secret.ts';
import { CLIENT_NAME, NAME_RULE, type GatewayConfig } from './schema.ts';
import { removeFiles, replaceFile, requireAbsent, writeNewFiles } from './write.ts';

/** Which client {@link addClient} adds, and where. */
export interface AddClientOptions {
  /** The configuration file. */
  readonly path: string;
  readonly name: string;
  readonly client: NewClient;
  /** What it may open; all services of the configuration unless said. */
  readonly services?: readonly string[];
  /** What the client calls the gateway; the configuration's `gateway` unless said. */
  readonly host?: string;
  /** The profile's file; `NAME.knock` beside the configuration unless said. */
  readonly out?: string;
  /** Makes of the profile's text what is written. */
  readonly seal?: (profileText: string) => Promise<string>;
}

/**
 * Adds a client: its secret, if it has one (`NAME.key`, 0600), its entry in the configuration, its profile (0600).
 *
 * @throws ConfigError; RangeError for a service that is not configured, a name or a key that cannot be used; what
 *   `seal` throws
 * @throws KnockError `ERR_EXISTS`, `ERR_WRITE` (another change of the configuration at the same time included); nothing
 *   is changed then
 */
export async function addClient(
  options: AddClientOptions,
): Promise<{ profile: string; files: readonly string[] }> {
  const { path, name, client, seal = same } = options;
  const { text, mode } = await readConfig(path);
  const config = await parseConfig(text, { path, mode });
  const services = options.services ?? Object.keys(config.services);
  requireNewClient(config, name, services);
  const host = options.host ?? config.gateway;
  if (host === null) throw new TypeError('host must be given, the configuration has no gateway');
  const directory = dirname(resolve(path));
  const keyFile = join(directory, `${name}.key`);
  const profileFile = resolve(options.out ?? join(directory, `${name}.knock`));
  const places = hasSecretFile(client) ? [keyFile, profileFile] : [profileFile];
  // Also before anybody is asked for a password.
  await requireAbsent(places);
  const newText = addClientText(text, name, entryOf(config, { name, client, services }));
  const secret = newSecret();
  const added = await parseConfig(newText, {
    path,
    mode,
    readFile: (file, most) =>
      file === keyFile ? Promise.resolve(ownFile(secret)) : readHostFile(file, most),
  });
  const profileText = formatProfile(profileOf(added, name, host));
  parseProfile(profileText);
  const profile = { path: profileFile, text: await seal(profileText) };
  const key = { path: keyFile, text: `${secret}\n` };
  await writeNewFiles(hasSecretFile(client) ? [key, profile] : [profile]);
  try {
    await replaceFile(path, { from: text, to: newText });
  } catch (error) {
    await removeFiles(places);
    throw error;
  }
  return { profile: profileFile, files: [path, ...places] };
}

function requireNewClient(
  { clients, services: known }: GatewayConfig,
  name: string,
  services: readonly string[],
): void {
  if (!CLIENT_NAME.test(name)) {
    throw new RangeError(`name must be ${NAME_RULE}, got '${printable(name, 70)}'`);
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

function same(text: string): Promise<string> {
  return Promise.resolve(text);
}
