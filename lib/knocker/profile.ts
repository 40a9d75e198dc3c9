// A client's profile: whom to knock at and with what, as JSON text. What a value may be is in profile-fields.ts.

import { printable } from '../errors.ts';
import { parseSshPublicKey } from '../crypto/ssh-key.ts';
import { parseKnockPort, type KnockPort } from '../scheme/sequence.ts';
import {
  base64,
  fieldsOf,
  hostOf,
  nameOf,
  refuse,
  secretOf,
  servicesOf,
  whole,
  type Fields,
} from './profile-fields.ts';
import { FWKNOP_KEYS, fwknopJson, fwknopOf, type FwknopFields } from './profile-fwknop.ts';

interface ProfileBase {
  /** The gateway: a host name or an address. */
  readonly host: string;
  /** The client's name in the gateway's configuration. */
  readonly client: string;
  /** TCP ports of the services that this client may open, by name. */
  readonly services: Readonly<Record<string, number>>;
}

/** The profile of a client that knocks with single packets (protocols/spa.md). */
export interface SpaProfile extends ProfileBase {
  readonly scheme: 'spa';
  /** The gateway's name in its own configuration: a knock for another one is refused there. */
  readonly gateway: string;
  /** UDP port of the knocks. */
  readonly port: number;
  /** The gateway's access key, 32 bytes. */
  readonly accessKey: Uint8Array;
  /** The client's public key as an OpenSSH line, whose private half signs; or a shared secret of 32 bytes. */
  readonly key: string | Uint8Array;
  /** What knocks say of their source: nothing, the client's address, or its prefix. */
  readonly bind: 'observed' | 'exact' | 'prefix';
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

/** The profile of a client that knocks at a real fwknopd, or at a gateway with clients of scheme fwknop. */
export interface FwknopProfile extends ProfileBase, FwknopFields {
  readonly scheme: 'fwknop';
}

/** What a client knows of one gateway. */
export type Profile = SpaProfile | OneTimeProfile | SequenceProfile | FwknopProfile;

const COMMON = ['portknock', 'host', 'client', 'scheme', 'services'];
const OWN: Readonly<Record<string, readonly string[]>> = {
  spa: ['gateway', 'port', 'access_key', 'bind'],
  'one-time': ['secret', 'digest', 'knocks', 'ports', 'step', 'carrier'],
  sequence: ['sequence'],
  fwknop: FWKNOP_KEYS,
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
  if (own === undefined) refuse('scheme must be spa, one-time, sequence or fwknop');
  const known = [...COMMON, ...own, ...(scheme === 'spa' ? [spaKey(fields)] : [])];
  const stranger = Object.keys(fields).find((key) => !known.includes(key));
  if (stranger !== undefined) refuse(`key is not known: '${printable(stranger, 40)}'`);
  const missing = known.find((key) => !Object.hasOwn(fields, key));
  if (missing !== undefined) refuse(`${missing} is missing`);
  const base = {
    host: hostOf('host', fields.host),
    client: nameOf(fields.client),
    services: servicesOf(fields.services),
  };
  if (scheme === 'sequence') return { ...base, scheme, sequence: sequenceOf(fields.sequence) };
  if (scheme === 'spa') return { ...base, scheme, ...spaOf(fields) };
  if (scheme === 'fwknop') return { ...base, scheme, ...fwknopOf(fields) };
  return { ...base, scheme: 'one-time', ...oneTimeOf(fields) };
}

/** Writes a profile as the JSON text that {@link parseProfile} reads. It holds the secret: keep it at mode 0600. */
export function formatProfile(profile: Profile): string {
  const { host, client, scheme, services } = profile;
  return `${JSON.stringify({ portknock: 1, host, client, scheme, ...ownOf(profile), services }, null, 2)}\n`;
}

function ownOf(profile: Profile): Fields {
  switch (profile.scheme) {
    case 'spa': {
      const { gateway, port, accessKey, key, bind } = profile;
      const own = typeof key === 'string' ? { key } : { secret: base64(key) };
      return { gateway, port, access_key: base64(accessKey), ...own, bind };
    }
    case 'one-time': {
      const { secret, digest, knocks, ports, step, carrier } = profile;
      return { secret: base64(secret), digest, knocks, ports, step, carrier };
    }
    case 'sequence':
      return { sequence: profile.sequence.map(({ port, protocol }) => `${port}/${protocol}`) };
    case 'fwknop':
      return fwknopJson(profile);
  }
}

/** Which of its two kinds of keys an SPA profile has. */
function spaKey(fields: Fields): 'key' | 'secret' {
  if (Object.hasOwn(fields, 'key') === Object.hasOwn(fields, 'secret')) {
    refuse('exactly one of key and secret must be there');
  }
  return Object.hasOwn(fields, 'key') ? 'key' : 'secret';
}

function spaOf(fields: Fields): Omit<SpaProfile, keyof ProfileBase | 'scheme'> {
  const { gateway, port, bind } = fields;
  if (bind !== 'observed' && bind !== 'exact' && bind !== 'prefix') {
    refuse('bind must be observed, exact or prefix');
  }
  return {
    gateway: hostOf('gateway', gateway),
    port: whole('port', port, 1, 65535),
    accessKey: secretOf('access_key', fields.access_key, [32, 32]),
    key: spaKey(fields) === 'key' ? publicKeyOf(fields.key) : secretOf('secret', fields.secret, [32, 32]),
    bind,
  };
}

function publicKeyOf(key: unknown): string {
  if (typeof key === 'string' && parseSshPublicKey(key) !== null) return key;
  return refuse('key must be a public key line, ssh-ed25519 AAAA...');
}

function oneTimeOf(fields: Fields): Omit<OneTimeProfile, keyof ProfileBase | 'scheme'> {
  const { digest, carrier, ports } = fields;
  const secret = secretOf('secret', fields.secret, [16, 64]);
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
