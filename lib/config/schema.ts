// The shape of portknockd.yaml (design.md section 3, "Gateway"): which keys there are, what their values may be,
// and the typed configuration that comes out. What concerns several keys at once is in checks.ts.

import { isIP } from 'node:net';
import * as v from 'valibot';
import type { OneTimeClient } from '../scheme/one-time.ts';
import type { KnockPort } from '../scheme/sequence.ts';
import type { ConfigProblem } from './problems.ts';
import {
  connections,
  duration,
  knockPort,
  list,
  oneOf,
  parsePortRange,
  path,
  port,
  portRange,
  secretText,
  text,
  value,
  whole,
} from './values.ts';

/** A gateway's configuration, checked and with every default filled in; durations are in milliseconds. */
export interface GatewayConfig {
  /** The file, as it was named. */
  readonly file: string;
  /** The gateway's own name. */
  readonly gateway: string | null;
  /** Where packets come from. */
  readonly source:
    { readonly kind: 'interface'; readonly name: string } | ({ readonly kind: 'socket' } & SocketAddress);
  readonly knockPort: number;
  readonly stateDir: string;
  readonly firewall: 'iptables' | 'mock';
  readonly firewallBackend: 'auto' | 'legacy' | 'nft';
  readonly protect: boolean | 'drop' | 'reject';
  /** 32 bytes; for SPA clients. */
  readonly accessKey: Uint8Array | null;
  readonly services: Readonly<Record<string, ServiceConfig>>;
  readonly openForMs: number;
  readonly connections: number | 'unlimited';
  readonly clients: readonly ClientConfig[];
  /** What works, but should not stay so. */
  readonly warnings: readonly ConfigProblem[];
}

/** Bound UDP ports, on one address or on all of them. */
export interface SocketAddress {
  readonly ports: readonly [low: number, high: number];
  readonly address: string | null;
}

/** A service, with every default filled in. */
export interface ServiceConfig {
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
  readonly openForMs: number;
  readonly connections: number | 'unlimited';
}

/** A client; `bits` says what an outsider has to guess. */
export type ClientConfig = {
  readonly name: string;
  readonly services: readonly string[];
  readonly bits: number;
} & (
  | { readonly scheme: 'one-time'; readonly key: Required<OneTimeClient> }
  | { readonly scheme: 'sequence'; readonly sequence: readonly KnockPort[]; readonly timeoutMs: number }
);

export const SERVICE_NAME = /^[a-z0-9][a-z0-9-]{0,31}$/u;
export const CLIENT_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/u;

/** What udpSocket binds at most. */
const MOST_SOCKET_PORTS = 256;
const DAY_MS = 24 * 3600 * 1000;
const openFor = duration('open_for', { lowMs: 1000, highMs: DAY_MS - 1000, stepMs: 1000 });
const sequenceTimeout = v.optional(
  duration('sequence_timeout', { lowMs: 100, highMs: 300_000, stepMs: 1 }),
  '10s',
);
const serviceNames = list(
  'services',
  v.string('services must hold names of services (write them as [ssh, admin])'),
  'name what this client may open, as in [ssh]',
);

const firewall = v.pipe(
  v.unknown(),
  v.rawTransform<unknown, 'iptables' | 'mock'>(({ dataset: { value: input }, addIssue, NEVER }) => {
    if (input === 'iptables' || input === 'mock') return input;
    const driver = v.is(v.object({ driver: v.string() }), input) ? input.driver : input;
    const later = driver === 'nftables' || driver === 'command';
    const problem = later ? `firewall ${driver} is not in this version yet` : `firewall is not one we know`;
    addIssue({ message: `${problem} (use iptables or mock)` });
    return NEVER;
  }),
);

/** The top level without the maps of services and clients. */
export const settingsSchema = v.object({
  gateway: v.optional(
    text('gateway', 'a host name or an address', /^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,252}$/u, 'as in gw.example'),
  ),
  interface: v.optional(
    text('interface', 'the name of a network interface', /^[^\s/\p{Cc}]{1,15}$/u, 'as in eth0, or any'),
  ),
  socket: v.optional(
    value('socket must be a UDP port or a range of at most 256', 'as in 40000-40015', parseSocket),
  ),
  knock_port: v.optional(port('knock_port'), 62201),
  state_dir: v.optional(path('state_dir'), '/var/lib/portknock'),
  firewall: v.optional(firewall, 'iptables'),
  firewall_backend: v.optional(oneOf('firewall_backend', ['auto', 'legacy', 'nft']), 'auto'),
  protect: v.optional(oneOf('protect', [true, 'drop', 'reject', false]), true),
  access_key: v.optional(secretText('access_key')),
  access_key_file: v.optional(path('access_key_file')),
  open_for: v.optional(openFor, '30s'),
  connections: v.optional(connections, 1),
});

export const serviceSchema = v.object({
  port: port('port'),
  protocol: v.optional(oneOf('protocol', ['tcp', 'udp']), 'tcp'),
  open_for: v.optional(openFor),
  connections: v.optional(connections),
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

const sequenceSchema = v.object({
  scheme: v.literal('sequence'),
  sequence: list('sequence', knockPort, 'as in [7000/tcp, 9000/udp, 8000/tcp, 7100/tcp]'),
  sequence_timeout: sequenceTimeout,
  services: serviceNames,
});

/** Clients by their scheme. */
export const clientSchemas = { 'one-time': oneTimeSchema, sequence: sequenceSchema } as const;

/** Schemes that the design has and this version has not. */
export const LATER_SCHEMES: readonly unknown[] = ['spa', 'fwknop'];

export type Settings = v.InferOutput<typeof settingsSchema>;
export type ServiceEntry = v.InferOutput<typeof serviceSchema>;
export type OneTimeEntry = v.InferOutput<typeof oneTimeSchema>;
export type SequenceEntry = v.InferOutput<typeof sequenceSchema>;

/** `40000-40015`, `62201`, and both with an address to bind: `127.0.0.1:40000`, `[::1]:40000-40015`. */
function parseSocket(input: unknown): SocketAddress | null {
  const parts = /^(?:\[([^\]]+)\]:|([^:]+):)?([\d-]+)$/u.exec(
    typeof input === 'number' ? String(input) : textOf(input),
  );
  const host = parts?.[1] ?? parts?.[2] ?? null;
  const ports = parsePortRange(parts?.[3]);
  if (ports === null || ports[1] - ports[0] >= MOST_SOCKET_PORTS) return null;
  return host !== null && isIP(host) === 0 ? null : { ports, address: host };
}

function textOf(input: unknown): string {
  return typeof input === 'string' ? input : '';
}
