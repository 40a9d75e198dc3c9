// The shape of portknockd.yaml (design.md section 3, "Gateway"): which keys there are, what their values may be,
// and the typed configuration that comes out. What concerns several keys at once is in checks.ts.

import { isIP } from 'node:net';
import * as v from 'valibot';
import type { Target } from '../firewall/driver.ts';
import type { ClientAccess } from '../policy/access.ts';
import type { FwknopClient } from '../scheme/fwknop-clients.ts';
import type { OneTimeClient } from '../scheme/one-time.ts';
import type { KnockPort } from '../scheme/sequence.ts';
import type { SpaClient } from '../scheme/spa-clients.ts';
import type { Account } from './account.ts';
import type { FirewallConfig } from './firewall.ts';
import type { MetricsConfig } from './metrics.ts';
import type { ConfigProblem } from './problems.ts';
import {
  argv,
  connections,
  duration,
  oneOrMore,
  oneOf,
  parsePortRange,
  path,
  port,
  secretText,
  target,
  text,
  value,
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
  /** Whom the half that reads packets runs as; `null`: nobody is named. */
  readonly user: Account | 'root' | null;
  readonly firewall: FirewallConfig;
  readonly firewallBackend: 'auto' | 'legacy' | 'nft';
  readonly protect: boolean | 'drop' | 'reject';
  /** 32 bytes each; for SPA clients. During a rotation two: new profiles get the first. */
  readonly accessKeys: readonly Uint8Array[];
  readonly services: Readonly<Record<string, ServiceConfig>>;
  readonly openForMs: number;
  readonly connections: number | 'unlimited';
  readonly clients: readonly ClientConfig[];
  /** Where metrics are offered; `null` for nowhere. */
  readonly metrics: MetricsConfig | null;
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
  /** 0 where commands alone say what opens. */
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
  readonly openForMs: number;
  readonly connections: number | 'unlimited';
  /** Where it lives, behind the gateway. */
  readonly to?: Target;
  /** Programs that open and close it, in place of the gateway's firewall. */
  readonly commands?: ServiceCommands;
  /** It has commands, and no port of its own: it is 0. */
  readonly portless?: boolean;
}

/** Programs and their arguments; `null`: for IPv6 sources the same as for IPv4. */
export interface ServiceCommands {
  readonly open: readonly string[];
  readonly close: readonly string[];
  readonly open6: readonly string[] | null;
  readonly close6: readonly string[] | null;
  readonly timeoutMs: number;
}

/** A client; `bits` says what an outsider has to guess. */
export type ClientConfig = {
  readonly name: string;
  readonly services: readonly string[];
  readonly bits: number;
} & Pick<ClientAccess, 'from' | 'expiresAt'> &
  (
    | ({ readonly scheme: 'spa'; readonly key: SpaClient } & Required<
        Pick<ClientAccess, 'bind' | 'widestPrefix'>
      >)
    | { readonly scheme: 'one-time'; readonly key: Required<OneTimeClient> }
    | ({ readonly scheme: 'sequence'; readonly sequence: readonly KnockPort[] } & SequenceSettings)
    | ({
        readonly scheme: 'sequence-list';
        /** The file that they are from, where the used ones are marked. */
        readonly file: string;
        readonly sequences: readonly (readonly KnockPort[])[];
      } & SequenceSettings)
    | { readonly scheme: 'fwknop'; readonly key: FwknopKey }
  );

/** What sequences have in common. */
export interface SequenceSettings {
  readonly timeoutMs: number;
  readonly family?: 4 | 6 | undefined;
}

/** A client of fwknop: keys as bytes, and every default filled in. */
export interface FwknopKey extends Required<
  Pick<FwknopClient, 'hmacDigest' | 'encryptionMode' | 'ports' | 'mayClaim' | 'requireAddress' | 'nat'>
> {
  /** 1 to 32 bytes. */
  readonly key: Uint8Array;
  /** 1 to 128 bytes; `null`: it uses none. */
  readonly hmacKey: Uint8Array | null;
}

/** A client that knocks with the real fwknop. */
export type FwknopClientConfig = Extract<ClientConfig, { scheme: 'fwknop' }>;

/** A client that knocks with single packets. */
export type SpaClientConfig = Extract<ClientConfig, { scheme: 'spa' }>;

export const SERVICE_NAME = /^[a-z0-9][a-z0-9-]{0,31}$/u;
export const CLIENT_NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$/u;
export const NAME_RULE = 'letters, digits, dot, dash, underscore and at sign, at most 64';
export const BINDS = ['observed', 'exact', 'prefix'] as const;
export const SPA_DEFAULTS = { bind: 'observed', widestPrefix: [24, 56] } as const;

/** What udpSocket binds at most. */
const MOST_SOCKET_PORTS = 256;
const DAY_MS = 24 * 3600 * 1000;
const openFor = duration('open_for', { lowMs: 1000, highMs: DAY_MS - 1000, stepMs: 1000 });

/** Two while one replaces the other. */
function accessKeys<T extends v.GenericSchema<unknown, string>>(name: string, kind: (name: string) => T) {
  return oneOrMore(kind(name), { name, most: 2, advice: 'while it is replaced two: first the new one' });
}

/** The top level without the firewall and the maps of services and clients. */
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
  user: v.optional(
    value('user must be the name or the uid of an account', 'as in portknock, or root', parseUser),
  ),
  firewall_backend: v.optional(oneOf('firewall_backend', ['auto', 'legacy', 'nft']), 'auto'),
  protect: v.optional(oneOf('protect', [true, 'drop', 'reject', false]), true),
  access_key: v.optional(accessKeys('access_key', secretText)),
  access_key_file: v.optional(accessKeys('access_key_file', path)),
  authorized_keys: v.optional(
    oneOrMore(path('authorized_keys'), { name: 'authorized_keys', most: 64, advice: 'name files' }),
  ),
  open_for: v.optional(openFor, '30s'),
  connections: v.optional(connections, 1),
});

export const serviceSchema = v.object({
  port: v.optional(port('port')),
  protocol: v.optional(oneOf('protocol', ['tcp', 'udp']), 'tcp'),
  open_for: v.optional(openFor),
  connections: v.optional(connections),
  to: v.optional(target),
  open: v.optional(argv('open')),
  close: v.optional(argv('close')),
  open_6: v.optional(argv('open_6')),
  close_6: v.optional(argv('close_6')),
  timeout: v.optional(duration('timeout', { lowMs: 100, highMs: 60_000, stepMs: 1 })),
});

export type Settings = v.InferOutput<typeof settingsSchema>;
export type ServiceEntry = v.InferOutput<typeof serviceSchema>;

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

function parseUser(input: unknown): string | null {
  const text = typeof input === 'number' ? String(input) : textOf(input);
  return /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}\$?$/u.test(text) ? text : null;
}

function textOf(input: unknown): string {
  return typeof input === 'string' ? input : '';
}
