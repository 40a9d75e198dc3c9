// What a caller hands to KnockListener, checked: mistakes here are the caller's, so they are TypeErrors and
// RangeErrors that name the argument.

import type { PacketSource } from '../capture/source.ts';
import type { Clock } from '../clock.ts';
import { printable } from '../errors.ts';
import { isTarget, type FirewallDriver, type Service, type Target } from '../firewall/driver.ts';
import type { Metrics } from '../metrics.ts';
import type { ClientAccess } from '../policy/access.ts';
import type { ReplayStore } from '../replay/store.ts';
import type { CaptureNeed, Scheme } from '../scheme/scheme.ts';

/** A protected service. */
export interface ServiceOptions {
  /** 0 where {@link ServiceOptions.portless} says so. */
  readonly port: number;
  /** `tcp` unless said. */
  readonly protocol?: 'tcp' | 'udp';
  /** How long an unused opening lasts, milliseconds, less than a day. */
  readonly openForMs?: number;
  /** How many connections one knock admits. */
  readonly connections?: number | 'unlimited';
  /** Where the service lives, if behind this host: with the iptables and nftables drivers. */
  readonly to?: Target;
  /** Its driver knows by itself what to open: `port` may be 0. */
  readonly portless?: boolean;
}

/** What a listener is made of. */
export interface ListenerOptions extends ReloadOptions {
  readonly source: PacketSource;
  readonly driver: FirewallDriver;
  /** `memoryReplay()` unless said; it forgets at a restart. */
  readonly replay?: ReplayStore;
  /**
   * A file for the record of open grants, so that a start after a crash goes on with them and closes the others. Without
   * it, openings of an earlier run end at the start.
   */
  readonly journal?: string;
  readonly metrics?: Metrics;
  readonly clock?: Clock;
}

/** What of it can change while the listener runs. */
export interface ReloadOptions {
  readonly schemes: readonly Scheme[];
  /** Protected services by name. */
  readonly services: Readonly<Record<string, ServiceOptions>>;
  readonly clients: readonly ClientAccess[];
  /** How long an unused opening lasts, milliseconds, unless the service says otherwise; 30,000. */
  readonly openForMs?: number;
  /** Connections that one knock admits, unless the service says otherwise; 1. */
  readonly connections?: number | 'unlimited';
}

const SERVICE_NAME = /^[a-z0-9][a-z0-9-]{0,31}$/u;
const DAY_MS = 86_400_000;

/** All that the schemes must see. */
export function needsOf({ schemes }: Pick<ReloadOptions, 'schemes'>): readonly CaptureNeed[] {
  return schemes.flatMap(({ needs }) => needs);
}

/** Services with every default filled in. */
export function servicesOf(options: {
  readonly services: Readonly<Record<string, ServiceOptions>>;
  readonly openForMs?: number;
  readonly connections?: number | 'unlimited';
}): readonly Service[] {
  const usual = { openForMs: options.openForMs ?? 30_000, connections: options.connections ?? 1 };
  requireOpening('', usual);
  const owners = new Map<string, string>();
  return Object.entries(options.services).map(([name, service]) => {
    if (!SERVICE_NAME.test(name)) {
      throw new TypeError(`service name must match ${SERVICE_NAME.source}, got '${printable(name)}'`);
    }
    const {
      port,
      protocol = 'tcp',
      openForMs = usual.openForMs,
      connections = usual.connections,
      portless = false,
      to,
    } = service;
    if (!portless || port !== 0) requireWhole(`services.${name}.port`, port, 65_535);
    if (!['tcp', 'udp'].includes(protocol)) {
      throw new TypeError(`services.${name}.protocol must be tcp or udp, got '${printable(protocol)}'`);
    }
    requireOpening(`services.${name}.`, { openForMs, connections });
    const place = `${port}/${protocol}`;
    const owner = owners.get(place);
    if (owner !== undefined && port !== 0) {
      throw new TypeError(`services.${name}.port must not be that of service ${owner}, got ${place}`);
    }
    owners.set(place, name);
    requireTarget(`services.${name}.to`, to);
    const found: Service = { name, protocol, port, openForMs, connections };
    return to === undefined ? found : { ...found, to: { host: to.host, port: to.port } };
  });
}

/** Every client of a scheme must have an access entry, and every entry name services that exist. */
export function checkClients(options: {
  readonly services: Readonly<Record<string, unknown>>;
  readonly clients: readonly ClientAccess[];
  readonly schemes: readonly Scheme[];
}): void {
  const names = new Set<string>();
  for (const { name, services } of options.clients) {
    if (names.has(name))
      throw new TypeError(`clients must have different names, got '${printable(name)}' twice`);
    names.add(name);
    const unknown = services.find((service) => !Object.hasOwn(options.services, service));
    if (unknown !== undefined) {
      throw new TypeError(
        `services of client ${printable(name)} must be configured, got '${printable(unknown)}'`,
      );
    }
  }
  for (const scheme of options.schemes) {
    const stranger = scheme.clients.find((name) => !names.has(name));
    if (stranger !== undefined) {
      throw new TypeError(
        `client '${printable(stranger)}' of scheme ${scheme.name} must be listed in clients`,
      );
    }
  }
}

function requireOpening(
  path: string,
  { openForMs, connections }: { openForMs: number; connections: number | 'unlimited' },
): void {
  requireWhole(`${path}openForMs`, openForMs, DAY_MS - 1);
  if (connections !== 'unlimited') requireWhole(`${path}connections`, connections, 1000);
}

function requireTarget(path: string, to: unknown): void {
  if (to === undefined || isTarget(to)) return;
  throw new TypeError(
    `${path} must be { host, port } with the canonical text of a unicast address, got ${printable(JSON.stringify(to))}`,
  );
}

function requireWhole(name: string, value: number, most: number): void {
  if (!Number.isInteger(value) || value < 1 || value > most) {
    throw new RangeError(`${name} must be a whole number from 1 to ${most}, got ${value}`);
  }
}
