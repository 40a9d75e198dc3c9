// The clients of a configuration: each by its scheme, with its secret, its services and its strength.

import { printable } from '../errors.ts';
import type { KnockPort } from '../scheme/sequence.ts';
import { bitsOf, checkNames, checkSocketSees, checkStrength, checkTogether, SecretOwners } from './checks.ts';
import {
  CLIENT_NAME,
  clientSchemas,
  LATER_SCHEMES,
  type ClientConfig,
  type GatewayConfig,
  type OneTimeEntry,
  type SequenceEntry,
} from './schema.ts';
import type { Section } from './section.ts';
import { secretOf, type SecretContext } from './secrets.ts';

/** The clients without problems; the others are reported. */
export async function clientsOf(
  root: Section,
  serviceNames: readonly string[] | null,
  source: GatewayConfig['source'] | null,
  context: SecretContext,
): Promise<readonly ClientConfig[]> {
  const owners = new SecretOwners();
  const sequences = new Map<string, readonly KnockPort[]>();
  const clients: ClientConfig[] = [];
  const sections = root.sections('clients', 'client');
  for (const [name, section] of sections) {
    if (!CLIENT_NAME.test(name)) {
      section.error(null, 'name must be letters, digits, dot, dash and underscore, at most 64 (rename it)');
    }
    const client = await clientOf(name, section, owners, context);
    const named = section.value('services');
    if (serviceNames !== null && Array.isArray(named)) checkNames(section, named, serviceNames);
    if (client === null) continue;
    checkStrength(section, client);
    if (client.scheme === 'sequence') checkTogether(section, client, sequences);
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

function unique(names: readonly string[]): readonly string[] {
  return [...new Set(names)];
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}
