// The keys of a client in portknockd.yaml, scheme by scheme (design.md section 3, "Gateway").

import * as v from 'valibot';
import { parsePrefix } from '../address.ts';
import type { ClientAccess } from '../policy/access.ts';
import { HASH_NAMES } from '../crypto/hashes.ts';
import { ENCRYPTION_MODES } from '../scheme/fwknop-cipher.ts';
import { parseAccessPort } from '../scheme/fwknop-message.ts';
import { BINDS, SPA_DEFAULTS } from './schema.ts';
import { parseExpiry } from './expiry.ts';
import {
  duration,
  knockPort,
  list,
  oneOf,
  oneOrMore,
  path,
  portRange,
  secretText,
  value,
  whole,
} from './values.ts';

const DATE = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2})?Z?)?$/u;
const EXPIRY_ADVICE = 'as in 2031-12-31, or 2031-12-31T18:00Z; without Z it is local time';

const sequenceTimeout = v.optional(
  duration('sequence_timeout', { lowMs: 100, highMs: 300_000, stepMs: 1 }),
  '10s',
);
const serviceNames = list(
  'services',
  v.string('services must hold names of services (write them as [ssh, admin])'),
  'name what this client may open, as in [ssh]',
);

const prefixes = (name: string) =>
  oneOrMore(value(`${name} must be an address or a prefix`, 'as in 203.0.113.0/24', parsePrefixText), {
    name,
    most: 64,
    advice: 'as in [203.0.113.0/24]',
  });

/** Of every client, whatever its scheme. */
const limits = {
  from: v.optional(prefixes('from')),
  expires: v.optional(value('expires must be a day, or a day and a time', EXPIRY_ADVICE, parseExpiryText)),
};

const spaSchema = v.object({
  scheme: v.literal('spa'),
  key: v.optional(v.string("key must be text (paste the line of the client's .pub file, in quotes)")),
  secret: v.optional(secretText('secret')),
  secret_file: v.optional(path('secret_file')),
  bind: v.optional(oneOf('bind', BINDS), SPA_DEFAULTS.bind),
  widest_prefix: v.optional(
    value(
      'widest_prefix must be two lengths, 1 to 32 for IPv4 and 1 to 128 for IPv6',
      'as in [24, 56]',
      parseWidest,
    ),
    SPA_DEFAULTS.widestPrefix,
  ),
  no_clock: v.optional(oneOf('no_clock', [true, false]), false),
  services: serviceNames,
  ...limits,
});

const oneTimeSchema = v.object({
  scheme: v.literal('one-time'),
  secret: v.optional(secretText('secret')),
  secret_file: v.optional(path('secret_file')),
  digest: v.optional(oneOf('digest', ['sha256', 'md5']), 'sha256'),
  knocks: v.optional(whole('knocks', 2, 16), 5),
  ports: v.optional(portRange('ports'), '20000-52767'),
  step: v.optional(duration('step', { lowMs: 1000, highMs: 3_600_000, stepMs: 1000 }), '10s'),
  carrier: v.optional(oneOf('carrier', ['udp', 'tcp']), 'udp'),
  sequence_timeout: sequenceTimeout,
  services: serviceNames,
  ...limits,
});

const family = v.optional(
  value('family must be 4 or 6', 'leave it out for both', (input) =>
    input === 4 || input === 6 ? input : null,
  ),
);

const sequenceListSchema = v.object({
  scheme: v.literal('sequence-list'),
  sequences_file: path('sequences_file'),
  sequence_timeout: sequenceTimeout,
  family,
  services: serviceNames,
  ...limits,
});

const sequenceSchema = v.object({
  scheme: v.literal('sequence'),
  sequence: list('sequence', knockPort, 'as in [7000/tcp, 9000/udp, 8000/tcp, 7100/tcp]'),
  sequence_timeout: sequenceTimeout,
  family,
  services: serviceNames,
  ...limits,
});

/** What an access.conf of fwknopd says, by names of ours; a passphrase is text as it is. */
const fwknopSchema = v.object({
  scheme: v.literal('fwknop'),
  key: v.optional(passphrase('key')),
  key_base64: v.optional(secretText('key_base64')),
  key_file: v.optional(path('key_file')),
  hmac_key: v.optional(passphrase('hmac_key')),
  hmac_key_base64: v.optional(secretText('hmac_key_base64')),
  hmac_key_file: v.optional(path('hmac_key_file')),
  hmac: v.optional(
    value('hmac must be none', 'or give it an hmac_key_base64', (input) => (input === 'none' ? input : null)),
  ),
  hmac_digest: v.optional(oneOf('hmac_digest', HASH_NAMES), 'sha256'),
  encryption_mode: v.optional(oneOf('encryption_mode', ENCRYPTION_MODES), 'cbc'),
  may_claim: v.optional(prefixes('may_claim')),
  require_address: v.optional(oneOf('require_address', [true, false]), false),
  ports: v.optional(
    value('ports must name services by the ports that knocks ask for', 'as in { tcp/2222: ssh }', parsePorts),
    {},
  ),
  nat: v.optional(oneOf('nat', [true, false]), false),
  services: serviceNames,
  ...limits,
});

/** Clients by their scheme. */
export const clientSchemas = {
  spa: spaSchema,
  'one-time': oneTimeSchema,
  sequence: sequenceSchema,
  'sequence-list': sequenceListSchema,
  fwknop: fwknopSchema,
} as const;

type Limits = Pick<SequenceEntry, 'from' | 'expires'>;
export type OneTimeEntry = v.InferOutput<typeof oneTimeSchema>;
export type SequenceEntry = v.InferOutput<typeof sequenceSchema>;
export type FwknopEntry = v.InferOutput<typeof fwknopSchema>;

/** What the policy has to hold a client to. */
export function limitsOf({ from, expires }: Limits): Pick<ClientAccess, 'from' | 'expiresAt'> {
  return {
    ...(from === undefined ? {} : { from: [from].flat() }),
    ...(expires === undefined ? {} : { expiresAt: expires }),
  };
}

/** `[24, 56]`. */
function parseWidest(input: unknown): readonly [ipv4: number, ipv6: number] | null {
  const lengths: readonly unknown[] = Array.isArray(input) ? input : [];
  const [ipv4, ipv6] = lengths;
  return isLength(ipv4, 32) && isLength(ipv6, 128) && lengths.length === 2 ? [ipv4, ipv6] : null;
}

function isLength(input: unknown, longest: number): input is number {
  return typeof input === 'number' && Number.isInteger(input) && input >= 1 && input <= longest;
}

function passphrase(name: string) {
  return v.string(`${name} must be text (quote it, or keep it as base64 in a file of its own)`);
}

function parsePrefixText(input: unknown): string | null {
  return typeof input === 'string' && parsePrefix(input) !== null ? input : null;
}

/** `2026-12-31`, `2026-12-31T18:00Z`: as sshd's expiry-time, with marks between. */
function parseExpiryText(input: unknown): number | null {
  return typeof input === 'string' && DATE.test(input) ? parseExpiry(input.replaceAll(/[-:T]/gu, '')) : null;
}

/** `{ tcp/2222: ssh }`. */
function parsePorts(input: unknown): Readonly<Record<string, string>> | null {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) return null;
  const entries = Object.entries(input as Readonly<Record<string, unknown>>);
  const isFit = entries.every(([port, name]) => parseAccessPort(port) !== null && typeof name === 'string');
  return isFit ? (Object.fromEntries(entries) as Record<string, string>) : null;
}
