// The keys of a client in portknockd.yaml, scheme by scheme (design.md section 3, "Gateway").

import * as v from 'valibot';
import { BINDS, SPA_DEFAULTS } from './schema.ts';
import { duration, knockPort, list, oneOf, path, portRange, secretText, value, whole } from './values.ts';

const sequenceTimeout = v.optional(
  duration('sequence_timeout', { lowMs: 100, highMs: 300_000, stepMs: 1 }),
  '10s',
);
const serviceNames = list(
  'services',
  v.string('services must hold names of services (write them as [ssh, admin])'),
  'name what this client may open, as in [ssh]',
);

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
});

const sequenceSchema = v.object({
  scheme: v.literal('sequence'),
  sequence: list('sequence', knockPort, 'as in [7000/tcp, 9000/udp, 8000/tcp, 7100/tcp]'),
  sequence_timeout: sequenceTimeout,
  family,
  services: serviceNames,
});

/** Clients by their scheme. */
export const clientSchemas = {
  spa: spaSchema,
  'one-time': oneTimeSchema,
  sequence: sequenceSchema,
  'sequence-list': sequenceListSchema,
} as const;

/** Schemes that the design has and this version has not. */
export const LATER_SCHEMES: readonly unknown[] = ['fwknop'];

export type SpaEntry = v.InferOutput<typeof spaSchema>;
export type OneTimeEntry = v.InferOutput<typeof oneTimeSchema>;
export type SequenceListEntry = v.InferOutput<typeof sequenceListSchema>;
export type SequenceEntry = v.InferOutput<typeof sequenceSchema>;

/** `[24, 56]`. */
function parseWidest(input: unknown): readonly [ipv4: number, ipv6: number] | null {
  const lengths: readonly unknown[] = Array.isArray(input) ? input : [];
  const [ipv4, ipv6] = lengths;
  return isLength(ipv4, 32) && isLength(ipv6, 128) && lengths.length === 2 ? [ipv4, ipv6] : null;
}

function isLength(input: unknown, longest: number): input is number {
  return typeof input === 'number' && Number.isInteger(input) && input >= 1 && input <= longest;
}
