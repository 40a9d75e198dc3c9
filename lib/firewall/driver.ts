// What a firewall driver is. A driver closes the services' ports at set-up, opens single grants, and leaves
// their expiry and their spending to the kernel wherever it can.

import { formatAddress, isUnicastSource, parseAddress } from '../address.ts';

/** Where a service is that lives behind the gateway. */
export interface Target {
  /** Canonical text of an address; connections of the other family do not get there. */
  readonly host: string;
  readonly port: number;
}

/** A protected service, as drivers see it. */
export interface Service {
  /** `[a-z0-9][a-z0-9-]{0,31}`. */
  readonly name: string;
  readonly protocol: 'tcp' | 'udp';
  /** 0 for a service that has none, of a driver that needs none. */
  readonly port: number;
  /** How long an unused opening lasts, milliseconds, less than a day. */
  readonly openForMs: number;
  /** How many connections one knock admits. */
  readonly connections: number | 'unlimited';
  /** Where connections go that a grant admits; without it, to this host. */
  readonly to?: Target;
}

/** One opening. */
export interface Grant {
  /** Unique, `[a-z0-9]+`. */
  readonly id: string;
  readonly client: string;
  /** Canonical text of an IPv4 or IPv6 address, or of a prefix (`192.0.2.0/24`: no bit set beyond its length). */
  readonly source: string;
  readonly service: string;
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
  /**
   * Unix milliseconds after which no new connection is admitted; at most the service's `openForMs` from now. Where it is
   * earlier than that, a driver whose kernel knows only the service's time relies on `close` being called then.
   */
  readonly openUntil: number;
  readonly connections: number | 'unlimited';
  /** As the service has it. */
  readonly to?: Target;
}

/** Whether a service stayed the same when the services changed, so that its grants stay; its time may differ. */
export function isSameService(one: Service | undefined, other: Service | undefined): boolean {
  if (one === undefined || other === undefined) return false;
  if (one.to?.host !== other.to?.host || one.to?.port !== other.to?.port) return false;
  return (['name', 'protocol', 'port', 'connections'] as const).every((key) => one[key] === other[key]);
}

/** Whether a grant is for `service`, just as it is. */
export function isGrantOf(grant: Grant, service: Service | undefined): boolean {
  const { service: name, protocol, port, connections, to } = grant;
  const asked = { name, protocol, port, connections, openForMs: 0, ...(to === undefined ? {} : { to }) };
  return isSameService(asked, service);
}

/** Whether an opening for `grant` is good now where `service` is set up. */
export function isLive(grant: Grant, service: Service | undefined, nowMs: number): boolean {
  return grant.openUntil > nowMs && isGrantOf(grant, service);
}

/** Whether packets can be sent on to `value`: a port of a unicast address that needs no interface to be named. */
export function isTarget(value: unknown): value is Target {
  if (typeof value !== 'object' || value === null) return false;
  const { host, port } = value as Readonly<Record<string, unknown>>;
  const address = typeof host === 'string' ? parseAddress(host) : null;
  if (address === null || formatAddress(address) !== host || !isUnicastSource(address)) return false;
  const isLinkLocal = address.family === 6 && address.words[0] >>> 22 === 0xfe80 >>> 6;
  return !isLinkLocal && Number.isInteger(port) && Number(port) >= 1 && Number(port) <= 65_535;
}

/** How long an opening stays in `list()` after its end, milliseconds; it admits nobody then. */
export const LINGER_MS = 500;

/** An opening as the firewall sees it now: it knows neither clients nor ids. */
export interface Opening {
  readonly service: string;
  readonly source: string;
}

/**
 * Opens and closes ports. All methods are asynchronous, idempotent and never use a shell. After `setup` the services'
 * ports are closed for everyone; after `teardown` no trace is left. A grant whose `open` rejected is not open. `open`,
 * `close` and `list` are called while others are under way, but never two at a time for one service and source.
 */
export interface FirewallDriver {
  readonly name: string;
  /** True when the driver changes a real firewall (the listener then wants durable replay state). */
  readonly real: boolean;
  /**
   * False when nothing but `close` ends an opening: the listener then closes at its stop what is open, and tries again
   * what could not be closed. True unless said.
   */
  readonly endsByItself?: boolean;
  /**
   * Closes the ports. Called again, it takes another list of services: open grants of services that stay the same (see
   * `isSameService`) stay, grants of the others end. @throws KnockError `ERR_FIREWALL_*`; nothing is left half done, and after a call that
   * was not the first, the earlier services stay set up. `ERR_FIREWALL_UNSUPPORTED` for a service with `to` from a driver
   * that cannot send connections on
   */
  setup(services: readonly Service[], context: DriverContext): Promise<void>;
  /**
   * Opens one grant, to every address of its source if that is a prefix; a second grant for the same service and source
   * replaces the first. Of several that admit a connection, the one with the longest prefix is spent: an address's own
   * before all. One whose time is over opens nothing. @throws KnockError `ERR_FIREWALL_*`, `ERR_FIREWALL_UNSUPPORTED`
   * also from a driver that cannot open to a prefix, and for a source of another family than the service's `to`
   */
  open(grant: Grant): Promise<void>;
  /** Takes back what is left of a grant. An absent grant is no error. Established connections live on. */
  close(grant: Grant): Promise<void>;
  /**
   * Openings that were neither spent nor closed. One whose time has ended stays listed for half a second, so that
   * absence at that moment means that it was used.
   */
  list(): Promise<readonly Opening[]>;
  /** Removes every rule of ours. Established connections live on. Works without `setup`, after a crash. */
  teardown(): Promise<void>;
}

/** What a driver is told at set-up. */
export interface DriverContext {
  /** For what the operator should know. */
  readonly warning: (message: string) => void;
  /**
   * At the first set-up: what may be open from an earlier run that did not end well. Of these, openings that are still
   * in the firewall and live (see `isLive`) stay as they are, with what is left of them; all others are removed. A
   * driver whose openings do not end by themselves takes over all of them: each is then closed, or kept.
   */
  readonly held?: readonly Grant[];
}
