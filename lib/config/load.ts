// From the text of portknockd.yaml to a GatewayConfig, or to every problem in it at once. Reads the file and the
// secret files, touches nothing.

import { open } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { messageOf, printable, systemCode } from '../errors.ts';
import { accountOfKey } from './account.ts';
import { checkServices, checkSource } from './checks.ts';
import { clientsOf } from './clients.ts';
import { parseConfigDocument } from './document.ts';
import { firewallOf, serviceCommandsOf, type FirewallConfig } from './firewall.ts';
import { permissionsOf, readHostFile, type ReadHostFile } from './files.ts';
import { metricsOf } from './metrics.ts';
import { ConfigError } from './problems.ts';
import {
  SERVICE_NAME,
  serviceSchema,
  settingsSchema,
  type GatewayConfig,
  type ServiceConfig,
  type Settings,
} from './schema.ts';
import type { Section } from './section.ts';
import { isExposed, secretsOf, type SecretContext } from './secrets.ts';

export interface ParseOptions {
  /** The file's name, for messages and for relative paths. */
  readonly path: string;
  /** The file's permission bits; without them, secrets in the text itself are not objected to. */
  readonly mode?: number;
  /** How files that it names are read. */
  readonly readFile?: ReadHostFile;
}

/**
 * Loads a gateway's configuration.
 *
 * @throws ConfigError (`ERR_CONFIG`) with every problem at once
 * @example
 * ```ts
 * const { listener } = assemble(await loadConfig('/etc/portknock/portknockd.yaml'));
 * await listener.start();
 * ```
 */
export async function loadConfig(path: string): Promise<GatewayConfig> {
  const { text, mode } = await readConfig(path);
  return parseConfig(text, { path, mode });
}

/** Reads a configuration file whole: its text and its permission bits. @throws ConfigError */
export type ReadConfig = (path: string) => Promise<{ readonly text: string; readonly mode: number }>;

/** The text of a configuration file and its permission bits. @throws ConfigError */
export async function readConfig(path: string): Promise<{ readonly text: string; readonly mode: number }> {
  try {
    const handle = await open(path, 'r');
    try {
      const mode = permissionsOf(await handle.stat());
      return { mode, text: await handle.readFile('utf8') };
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw new ConfigError([{ file: path, line: 1, column: 1, message: unreadable(cause) }], { cause });
  }
}

/** Like {@link loadConfig}, for a text that is at hand. @throws ConfigError */
export async function parseConfig(text: string, options: ParseOptions): Promise<GatewayConfig> {
  const { path, mode = 0o600, readFile: read = readHostFile } = options;
  const { root, problems } = parseConfigDocument(text, path);
  const context: SecretContext = {
    directory: dirname(resolve(path)),
    exposed: isExposed(mode),
    file: path,
    read,
  };
  root.refuseStrangers([
    ...Object.keys(settingsSchema.entries),
    'firewall',
    'metrics',
    'services',
    'clients',
  ]);
  const settings = root.parse(settingsSchema);
  const accessKeys = await accessKeysOf(root, context);
  const firewall = firewallOf(root);
  const metrics = metricsOf(root);
  const source = checkSource(root, settings);
  const user = await accountOfKey(root, settings?.user, read);
  const services = servicesOf(root, settings, firewall);
  const clients = await clientsOf(root, {
    ...{ settings, source, services, accessKeys, secrets: context },
    serviceNames: root.names('services'),
  });
  problems.throwIfAny();
  if (settings === null || source === null || firewall === null)
    throw new Error('a configuration without problems must be complete');
  return {
    file: path,
    gateway: settings.gateway ?? null,
    source,
    knockPort: settings.knock_port,
    stateDir: resolve(context.directory, settings.state_dir),
    user,
    firewall,
    firewallBackend: settings.firewall_backend,
    protect: settings.protect,
    accessKeys,
    services,
    openForMs: settings.open_for,
    connections: settings.connections,
    clients,
    metrics,
    warnings: problems.warnings,
  };
}

async function accessKeysOf(root: Section, context: SecretContext): Promise<readonly Uint8Array[]> {
  const keys = await secretsOf(root, { key: 'access_key', bytes: [32, 32], list: true }, context);
  if (keys.length === 2 && keys[1] !== undefined && keys[0]?.equals(keys[1]) === true) {
    const name = root.has('access_key_file') ? 'access_key_file' : 'access_key';
    root.error(name, `${name} has the same key twice (keep one)`, 1);
  }
  return keys;
}

function servicesOf(
  root: Section,
  settings: Settings | null,
  firewall: FirewallConfig | null,
): Record<string, ServiceConfig> {
  const found = new Map<string, readonly [ServiceConfig, Section]>();
  for (const [name, section] of root.sections('services', 'service')) {
    if (!SERVICE_NAME.test(name)) {
      section.error(null, 'name must be lower-case letters, digits and dashes, at most 32 (rename it)');
    }
    section.refuseStrangers(Object.keys(serviceSchema.entries));
    const entry = section.parse(serviceSchema);
    if (entry === null) continue;
    const commands = serviceCommandsOf(section, entry);
    if (entry.port === undefined && !section.has('open')) section.error('port', 'port is missing (add it)');
    const { port = 0, protocol, to } = entry;
    const openForMs = entry.open_for ?? settings?.open_for ?? 30_000;
    const connections = entry.connections ?? settings?.connections ?? 1;
    const service = {
      ...{ port, protocol, openForMs, connections },
      ...(port === 0 ? { portless: true } : {}),
      ...(to === undefined ? {} : { to }),
    };
    found.set(name, [commands === null ? service : { ...service, commands }, section]);
    if (to !== undefined && (firewall?.driver === 'command' || commands !== null))
      section.error('to', 'to is not of the command driver: its commands send nothing on (take it out)');
  }
  checkServices(found);
  if (root.isEmpty('services'))
    root.error('services', 'services is empty (add services: { ssh: { port: 22 } })');
  return Object.fromEntries([...found].map(([name, [service]]) => [name, service]));
}

function unreadable(cause: unknown): string {
  const code = systemCode(cause);
  if (code === 'ENOENT')
    return 'configuration cannot be read: there is no such file (portknock init writes one)';
  if (code === 'EACCES') return 'configuration cannot be read: permission denied (run as its owner)';
  if (code === 'EISDIR') return 'configuration cannot be read: it is a directory (name the file in it)';
  return `configuration cannot be read: ${printable(code === '' ? messageOf(cause) : code)} (check the path)`;
}
