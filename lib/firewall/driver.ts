// What a firewall driver is. A driver closes the services' ports at set-up, opens single grants, and leaves
// their expiry and their spending to the kernel wherever it can.

/** A protected service, as drivers see it. */
export interface Service {
  /** `[a-z0-9][a-z0-9-]{0,31}`. */
  readonly name: string;
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
  /** How long an unused opening lasts, milliseconds, less than a day. */
  readonly openForMs: number;
  /** How many connections one knock admits. */
  readonly connections: number | 'unlimited';
}

/** One opening. */
export interface Grant {
  /** Unique, `[a-z0-9]+`. */
  readonly id: string;
  readonly client: string;
  /** Canonical text of an IPv4 or IPv6 address. */
  readonly source: string;
  readonly service: string;
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
  /** Unix milliseconds after which no new connection is admitted. */
  readonly openUntil: number;
  readonly connections: number | 'unlimited';
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
 * ports are closed for everyone; after `teardown` no trace is left. A grant whose `open` rejected is not open.
 */
export interface FirewallDriver {
  readonly name: string;
  /** True when the driver changes a real firewall (the listener then wants durable replay state). */
  readonly real: boolean;
  /** Closes the ports. @throws KnockError `ERR_FIREWALL_*`; nothing is left half done */
  setup(services: readonly Service[], context: DriverContext): Promise<void>;
  /** Opens one grant; a second grant for the same service and source replaces the first. @throws KnockError `ERR_FIREWALL_*` */
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
}
