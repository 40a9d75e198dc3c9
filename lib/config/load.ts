// From the text of portknockd.yaml to a GatewayConfig, or to every problem in it at once. Reads the file and the
// secret files, touches nothing.

import { open } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { messageOf, printable, systemCode } from '../errors.ts';
import {
  bitsOf,
  checkNames,
  checkServices,
  checkSocketSees,
  checkSource,
  checkStrength,
  SecretOwners,
} from './checks.ts';
import { parseConfigDocument } from './document.ts';
import { ConfigError } from './problems.ts';
import {
  CLIENT_NAME,
  clientSchemas,
  LATER_SCHEMES,
  SERVICE_NAME,
  serviceSchema,
  settingsSchema,
  type ClientConfig,
  type GatewayConfig,
  type OneTimeEntry,
  type SequenceEntry,
  type ServiceConfig,
  type Settings,
} from './schema.ts';
import type { Section } from './section.ts';
import { isExposed, readSecretFile, secretOf, type ReadSecretFile, type SecretContext } from './secrets.ts';

type Sections = ReturnType<Section['sections']>;

export interface ParseOptions {
  /** The file's name, for messages and for relative paths. */
  readonly path: string;
  /** The file's permission bits; without them, secrets in the text itself are not objected to. */
  readonly mode?: number;
  readonly readSecretFile?: ReadSecretFile;
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
  let text: string;
  let mode: number;
  try {
    const handle = await open(path, 'r');
    try {
      mode = (await handle.stat()).mode & 0o777;
      text = await handle.readFile('utf8');
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw new ConfigError([{ file: path, line: 1, column: 1, message: unreadable(cause) }], { cause });
  }
  return parseConfig(text, { path, mode });
}

/** Like {@link loadConfig}, for a text that is at hand. @throws ConfigError */
export async function parseConfig(text: string, options: ParseOptions): Promise<GatewayConfig> {
  const { path, mode = 0o600, readSecretFile: read = readSecretFile } = options;
  const { root, problems } = parseConfigDocument(text, path);
  const context: SecretContext = {
    directory: dirname(resolve(path)),
    exposed: isExposed(mode),
    file: path,
    read,
  };
  root.refuseStrangers([...Object.keys(settingsSchema.entries), 'services', 'clients']);
  const settings = root.parse(settingsSchema);
  const accessKey = await secretOf(root, { key: 'access_key', bytes: [32, 32] }, context);
  const source = checkSource(root, settings);
  const serviceSections = root.sections('services', 'service');
  const services = servicesOf(root, serviceSections, settings);
  const serviceNames = serviceSections.map(([name]) => name);
  const clients = await clientsOf(root, serviceNames, source, context);
  problems.throwIfAny();
  if (settings === null || source === null)
    throw new Error('a configuration without problems must be complete');
  return {
    file: path,
    gateway: settings.gateway ?? null,
    source,
    knockPort: settings.knock_port,
    stateDir: resolve(context.directory, settings.state_dir),
    firewall: settings.firewall,
    firewallBackend: settings.firewall_backend,
    protect: settings.protect,
    accessKey,
    services,
    openForMs: settings.open_for,
    connections: settings.connections,
    clients,
    warnings: problems.warnings,
  };
}

function servicesOf(
  root: Section,
  sections: Sections,
  settings: Settings | null,
): Record<string, ServiceConfig> {
  const found = new Map<string, readonly [ServiceConfig, Section]>();
  for (const [name, section] of sections) {
    if (!SERVICE_NAME.test(name)) {
      section.error(null, 'name must be lower-case letters, digits and dashes, at most 32 (rename it)');
    }
    section.refuseStrangers(Object.keys(serviceSchema.entries));
    const entry = section.parse(serviceSchema);
    if (entry === null) continue;
    const { port, protocol } = entry;
    const openForMs = entry.open_for ?? settings?.open_for ?? 30_000;
    const connections = entry.connections ?? settings?.connections ?? 1;
    found.set(name, [{ port, protocol, openForMs, connections }, section]);
  }
  checkServices(found);
  if (root.isEmpty('services'))
    root.error('services', 'services is empty (add services: { ssh: { port: 22 } })');
  return Object.fromEntries([...found].map(([name, [service]]) => [name, service]));
}

async function clientsOf(
  root: Section,
  serviceNames: readonly string[],
  source: GatewayConfig['source'] | null,
  context: SecretContext,
): Promise<readonly ClientConfig[]> {
  const owners = new SecretOwners();
  const clients: ClientConfig[] = [];
  const sections = root.sections('clients', 'client');
  for (const [name, section] of sections) {
    if (!CLIENT_NAME.test(name)) {
      section.error(null, 'name must be letters, digits, dot, dash and underscore, at most 64 (rename it)');
    }
    const client = await clientOf(name, section, owners, context);
    const named = section.value('services');
    if (Array.isArray(named)) checkNames(section, named, serviceNames);
    if (client === null) continue;
    checkStrength(section, client);
    if (source?.kind === 'socket') checkSocketSees(section, client, source.ports);
    clients.push(client);
  }
  if (root.isEmpty('clients')) {
    root.warning('clients', 'clients is empty: nobody can knock (portknock add-client adds one)');
  }
  return clients;
}

async function clientOf(
  name: string,
  section: Section,
  owners: SecretOwners,
  context: SecretContext,
): Promise<ClientConfig | null> {
  const scheme = section.value('scheme');
  if (scheme === 'one-time') {
    section.refuseStrangers(Object.keys(clientSchemas[scheme].entries));
    const secret = await secretOf(section, { key: 'secret', bytes: [16, 64] }, context);
    if (!section.has('secret') && !section.has('secret_file')) {
      section.error(null, 'secret is missing (add secret_file, made by portknock keygen --out FILE)');
    }
    if (secret !== null)
      owners.check(section, name, section.has('secret') ? 'secret' : 'secret_file', secret);
    const entry = section.parse(clientSchemas[scheme]);
    return entry === null || secret === null ? null : oneTimeClient(name, entry, secret);
  }
  if (scheme === 'sequence') {
    section.refuseStrangers(Object.keys(clientSchemas[scheme].entries));
    const entry = section.parse(clientSchemas[scheme]);
    return entry === null ? null : sequenceClient(name, entry);
  }
  section.error('scheme', schemeProblem(section, scheme));
  return null;
}

function oneTimeClient(name: string, entry: OneTimeEntry, secret: Buffer): ClientConfig {
  const { digest, knocks, ports, carrier, step, sequence_timeout: timeoutMs } = entry;
  const key = { secret, digest, knocks, ports, stepSeconds: step / 1000, carrier, timeoutMs };
  return { name, scheme: 'one-time', key, services: unique(entry.services), bits: bitsOf(key) };
}

function sequenceClient(name: string, entry: SequenceEntry): ClientConfig {
  const { sequence, sequence_timeout: timeoutMs } = entry;
  const bits = bitsOf({ scheme: 'sequence', sequence });
  return { name, scheme: 'sequence', sequence, timeoutMs, services: unique(entry.services), bits };
}

function schemeProblem(section: Section, scheme: unknown): string {
  if (!section.has('scheme')) return 'scheme is missing (add scheme: one-time)';
  if (isText(scheme) && LATER_SCHEMES.includes(scheme)) {
    return `scheme ${scheme} is not in this version yet (use one-time or sequence)`;
  }
  return `scheme is not known: ${printable(JSON.stringify(scheme), 60)} (use one-time or sequence)`;
}

function unreadable(cause: unknown): string {
  const code = systemCode(cause);
  if (code === 'ENOENT')
    return 'configuration cannot be read: there is no such file (portknock init writes one)';
  if (code === 'EACCES') return 'configuration cannot be read: permission denied (run as its owner)';
  if (code === 'EISDIR') return 'configuration cannot be read: it is a directory (name the file in it)';
  return `configuration cannot be read: ${printable(code === '' ? messageOf(cause) : code)} (check the path)`;
}

function unique(names: readonly string[]): readonly string[] {
  return [...new Set(names)];
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}
