// A client's profile: whom to knock at and with what. JSON text, checked by hand, because the light entry loads no
// validation library. A profile holds a secret: no message here ever repeats a value of it.

import { isIP } from 'node:net';
import { parseBase64 } from '../base64.ts';
import { KnockError, printable } from '../errors.ts';
import { parseKnockPort, type KnockPort } from '../scheme/sequence.ts';

interface ProfileBase {
  /** The gateway: a host name or an address. */
  readonly host: string;
  /** The client's name in the gateway's configuration. */
  readonly client: string;
  /** TCP ports of the services that this client may open, by name. */
  readonly services: Readonly<Record<string, number>>;
}

/** The profile of a client that knocks with hashed one-time sequences. */
export interface OneTimeProfile extends ProfileBase {
  readonly scheme: 'one-time';
  /** 16 to 64 bytes. */
  readonly secret: Uint8Array;
  readonly digest: 'sha256' | 'md5';
  /** Knocks in the sequence, 2 to 16. */
  readonly knocks: number;
  /** Inclusive port range. */
  readonly ports: readonly [low: number, high: number];
  /** Seconds per step. */
  readonly step: number;
  readonly carrier: 'udp' | 'tcp';
}

/** The profile of a client that knocks with a plain sequence of ports. */
export interface SequenceProfile extends ProfileBase {
  readonly scheme: 'sequence';
  readonly sequence: readonly KnockPort[];
}

/** What a client knows of one gateway. */
export type Profile = OneTimeProfile | SequenceProfile;

type Fields = Readonly<Record<string, unknown>>;

const COMMON = ['portknock', 'host', 'client', 'scheme', 'services'];
const OWN: Readonly<Record<string, readonly string[]>> = {
  'one-time': ['secret', 'digest', 'knocks', 'ports', 'step', 'carrier'],
  sequence: ['sequence'],
};

/**
 * Reads a profile, strictly: unknown and missing keys are refused.
 *
 * @throws KnockError `ERR_PROFILE`
 * @example
 * ```ts
 * const knocker = new Knocker(parseProfile(await readFile('field.knock', 'utf8')));
 * ```
 */
export function parseProfile(text: string): Profile {
  const fields = fieldsOf(text);
  if (fields.portknock !== 1) refuse('portknock must be 1, the version of the format');
  const scheme = fields.scheme;
  const own = typeof scheme === 'string' && Object.hasOwn(OWN, scheme) ? OWN[scheme] : undefined;
  if (own === undefined) refuse('scheme must be one-time or sequence');
  const known = [...COMMON, ...own];
  const stranger = Object.keys(fields).find((key) => !known.includes(key));
  if (stranger !== undefined) refuse(`key is not known: '${printable(stranger, 40)}'`);
  const missing = known.find((key) => !Object.hasOwn(fields, key));
  if (missing !== undefined) refuse(`${missing} is missing`);
  const base = { host: hostOf(fields), client: nameOf(fields.client), services: servicesOf(fields.services) };
  if (scheme === 'sequence') return { ...base, scheme, sequence: sequenceOf(fields.sequence) };
  return { ...base, scheme: 'one-time', ...oneTimeOf(fields) };
}

/** Writes a profile as the JSON text that {@link parseProfile} reads. It holds the secret: keep it at mode 0600. */
export function formatProfile(profile: Profile): string {
  const { host, client, scheme, services } = profile;
  const own =
    profile.scheme === 'sequence'
      ? { sequence: profile.sequence.map(({ port, protocol }) => `${port}/${protocol}`) }
      : {
          secret: Buffer.from(profile.secret).toString('base64'),
          digest: profile.digest,
          knocks: profile.knocks,
          ports: profile.ports,
          step: profile.step,
          carrier: profile.carrier,
        };
  return `${JSON.stringify({ portknock: 1, host, client, scheme, ...own, services }, null, 2)}\n`;
}

function fieldsOf(text: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The parser's own message quotes the text, which holds a secret.
    refuse('the text is not JSON');
  }
  return isFields(value) ? value : refuse('the text is not a JSON object');
}

function hostOf({ host }: Fields): string {
  if (
    typeof host !== 'string' ||
    (isIP(host) === 0 && !/^[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})$/u.test(host))
  ) {
    refuse('host must be a host name or an address');
  }
  return host;
}

function nameOf(client: unknown): string {
  if (typeof client !== 'string' || !/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/u.test(client)) {
    refuse('client must be a name of letters, digits, dot, dash and underscore, at most 64');
  }
  return client;
}

function servicesOf(services: unknown): Readonly<Record<string, number>> {
  if (!isFields(services) || Object.keys(services).length === 0)
    refuse('services must name at least one port');
  const ports: Record<string, number> = {};
  for (const [name, port] of Object.entries(services)) {
    if (!/^[a-z0-9][a-z0-9-]{0,31}$/u.test(name)) refuse(`service name is bad: '${printable(name, 40)}'`);
    ports[name] = whole(`port of service ${name}`, port, 1, 65535);
  }
  return ports;
}

function oneTimeOf(fields: Fields): Omit<OneTimeProfile, keyof ProfileBase | 'scheme'> {
  const { digest, carrier, ports } = fields;
  const secret = typeof fields.secret === 'string' ? parseBase64(fields.secret) : null;
  if (secret === null || secret.length < 16 || secret.length > 64)
    refuse('secret must be base64 of 16 to 64 bytes');
  if (digest !== 'sha256' && digest !== 'md5') refuse('digest must be sha256 or md5');
  if (carrier !== 'udp' && carrier !== 'tcp') refuse('carrier must be udp or tcp');
  if (!Array.isArray(ports) || ports.length !== 2) refuse('ports must be [low, high]');
  const low = whole('ports[0]', ports[0], 1, 65535);
  return {
    secret,
    digest,
    carrier,
    ports: [low, whole('ports[1]', ports[1], low, 65535)],
    knocks: whole('knocks', fields.knocks, 2, 16),
    step: whole('step', fields.step, 1, 3600),
  };
}

function sequenceOf(value: unknown): readonly KnockPort[] {
  const entries: readonly unknown[] = Array.isArray(value) ? value : [];
  const knocks = entries.map((entry) => (typeof entry === 'string' ? parseKnockPort(entry) : null));
  const ports = knocks.filter((knock) => knock !== null);
  // Weak sequences pass: it is the gateway's business to refuse them, and it may be a foreign knockd.
  if (ports.length < 1 || ports.length > 32 || ports.length !== knocks.length) {
    refuse('sequence must be a list of 1 to 32 knocks, PORT/tcp or PORT/udp');
  }
  return ports;
}

function whole(name: string, value: unknown, low: number, high: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < low || value > high) {
    refuse(`${name} must be a whole number from ${low} to ${high}`);
  }
  return value;
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refuse(problem: string): never {
  throw new KnockError(
    'ERR_PROFILE',
    `profile cannot be used: ${problem} (write it anew with portknock add-client)`,
  );
}
