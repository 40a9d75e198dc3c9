// The clients of a configuration: each by its scheme, with its secret, its services and its strength.

import { printable } from '../errors.ts';
import type { KnockPort } from '../scheme/sequence.ts';
import { authorizedClients } from './authorized-keys.ts';
import {
  bitsOf,
  checkKnockPort,
  checkNames,
  checkReach,
  checkSocketSees,
  checkStrength,
  checkTogether,
} from './checks.ts';
import { clientSchemas, limitsOf, type OneTimeEntry, type SequenceEntry } from './client-schemas.ts';
import { fwknopClient } from './clients-fwknop.ts';
import { checkSpaGateway, spaClient } from './clients-spa.ts';
import { sequenceListClient } from './clients-list.ts';
import { KeyOwners } from './owners.ts';
import { CLIENT_NAME, NAME_RULE, type ClientConfig, type GatewayConfig, type Settings } from './schema.ts';
import type { Section } from './section.ts';
import { SECRET_COMMAND, secretOf, type SecretContext } from './secrets.ts';

/** What is known of the gateway when its clients are read; `null` where there were problems. */
export interface ClientsContext {
  readonly settings: Settings | null;
  readonly source: GatewayConfig['source'] | null;
  readonly serviceNames: readonly string[] | null;
  /** Those without problems. */
  readonly services: GatewayConfig['services'];
  readonly accessKeys: readonly Uint8Array[];
  readonly secrets: SecretContext;
}

interface KeyContext {
  readonly owners: KeyOwners;
  /** Whose each sequence of a list is. */
  readonly listed: Map<string, string>;
  readonly secrets: SecretContext;
}

const SCHEMES = 'spa, one-time, sequence, sequence-list or fwknop';

/** The clients without problems; the others are reported. */
export async function clientsOf(root: Section, context: ClientsContext): Promise<readonly ClientConfig[]> {
  const { settings, source, serviceNames, secrets } = context;
  const owners = new KeyOwners(context.accessKeys);
  const sequences = new Map<string, readonly KnockPort[]>();
  const listed = new Map<string, string>();
  const clients: ClientConfig[] = [];
  const sections = root.sections('clients', 'client');
  for (const [name, section] of sections) {
    if (!CLIENT_NAME.test(name)) section.error(null, `name must be ${NAME_RULE} (rename it)`);
    const client = await clientOf(name, section, { owners, listed, secrets });
    const named = section.value('services');
    if (serviceNames !== null && Array.isArray(named)) checkNames(section, named, serviceNames);
    if (client === null) continue;
    checkStrength(section, client);
    checkReach(section, client, context.services);
    if (client.scheme === 'sequence') checkTogether(section, client, sequences);
    if (source?.kind === 'socket') checkSocketSees(section, client, source.ports);
    clients.push(client);
  }
  const taken = new Set(root.names('clients'));
  clients.push(...(await authorizedClients(root, { files: secrets, serviceNames, owners, taken })));
  const hasSpa = sections.some(([, section]) => section.value('scheme') === 'spa');
  const needsSpa = hasSpa || root.has('authorized_keys');
  const hasFwknop = sections.some(([, section]) => section.value('scheme') === 'fwknop');
  if (needsSpa) checkSpaGateway(root);
  if (needsSpa || hasFwknop) checkKnockPort(root, settings, source, needsSpa ? 'SPA' : 'fwknop');
  if (root.isEmpty('clients') && clients.length === 0) {
    root.warning('clients', 'clients is empty: nobody can knock (portknock add-client adds one)');
  }
  return clients;
}

async function clientOf(name: string, section: Section, context: KeyContext): Promise<ClientConfig | null> {
  const scheme = section.value('scheme');
  if (scheme === 'spa') return spaClient(name, section, context);
  if (scheme === 'fwknop') return fwknopClient(name, section, context);
  if (scheme === 'one-time') {
    section.refuseStrangers(Object.keys(clientSchemas[scheme].entries));
    const secret = await secretOf(section, { key: 'secret', bytes: [16, 64] }, context.secrets);
    if (!section.has('secret') && !section.has('secret_file')) {
      section.error(null, `secret is missing (add secret_file, made by ${SECRET_COMMAND})`);
    }
    const owner = secret === null ? null : context.owners.take(name, secret);
    if (owner !== null) {
      const key = section.has('secret') ? 'secret' : 'secret_file';
      section.error(key, `secret is ${printable(owner)} (give each its own: ${SECRET_COMMAND})`);
    }
    const entry = section.parse(clientSchemas[scheme]);
    return entry === null || secret === null ? null : oneTimeClient(name, entry, secret);
  }
  if (scheme === 'sequence-list')
    return sequenceListClient(name, section, { files: context.secrets, listed: context.listed });
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
  const services = unique(entry.services);
  return { name, scheme: 'one-time', key, services, bits: bitsOf(key), ...limitsOf(entry) };
}

function sequenceClient(name: string, entry: SequenceEntry): ClientConfig {
  const { sequence, sequence_timeout: timeoutMs, family } = entry;
  const bits = bitsOf({ scheme: 'sequence', sequence });
  const only = family === undefined ? {} : { family };
  const services = unique(entry.services);
  return { name, scheme: 'sequence', sequence, timeoutMs, ...only, services, bits, ...limitsOf(entry) };
}

function schemeProblem(section: Section, scheme: unknown): string {
  if (!section.has('scheme')) return `scheme is missing (add scheme: ${SCHEMES})`;
  return `scheme is not known: ${printable(JSON.stringify(scheme), 60)} (use ${SCHEMES})`;
}

function unique(names: readonly string[]): readonly string[] {
  return [...new Set(names)];
}
