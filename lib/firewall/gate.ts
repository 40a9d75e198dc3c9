// A gate inside this process, for a service that is a Node server: connections from sources without a grant end before
// a byte is read. The kernel has accepted them by then, so a scan sees an open port: a firewall hides, this only guards.

import cluster from 'node:cluster';
import { isIPv4, Server, Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { formatAddress, parseAddress } from '../address.ts';
import { systemClock, type Clock } from '../clock.ts';
import { KnockError, printable } from '../errors.ts';
import { Book } from './book.ts';
import type { DriverContext, FirewallDriver, Grant, Opening, Service } from './driver.ts';
import { refuseTargets } from './forward.ts';

/** {@link gate}'s options. */
export interface GateOptions {
  /** The host's clock unless given. */
  readonly clock?: Clock;
}

/**
 * A driver that guards a `net.Server` of this process (or an `http`, `https`, `http2` or `tls` one): a connection
 * without a grant is reset before a byte of it is read, and the server never hears of it. Given one server, it guards
 * the only configured service; given several by service name, each its own. TCP only.
 *
 * From this call until `teardown`, whatever becomes of the listener, nobody gets in without a grant: call it before the
 * server listens, or at once after. Connections that were there before stay.
 *
 * @throws TypeError for what is not a server, and for one server under two names
 * @example
 * const server = http.createServer(app);
 * const driver = gate(server);
 */
export function gate(
  servers: Server | Readonly<Record<string, Server>>,
  options: GateOptions = {},
): FirewallDriver {
  return new GateDriver(servers, options.clock ?? systemClock);
}

/** A server, what it serves while that is known, and what takes the guard from it while there is one. */
interface Guarded {
  readonly server: Server;
  service: string | null;
  unguard: (() => void) | null;
}

class GateDriver implements FirewallDriver {
  readonly name = 'gate';
  /** A recorded knock would open a real service, so replay state has to outlive a restart. */
  readonly real = true;
  readonly #book: Book;
  readonly #only: Guarded | null;
  readonly #byName: ReadonlyMap<string, Guarded>;

  constructor(servers: Server | Readonly<Record<string, Server>>, clock: Clock) {
    this.#book = new Book('gate', clock);
    const isOne = servers instanceof Server;
    this.#only = isOne ? { server: servers, service: null, unguard: null } : null;
    this.#byName = isOne ? new Map() : namedServers(servers);
    this.#guardAll();
  }

  async setup(services: readonly Service[], { warning }: DriverContext): Promise<void> {
    refuseTargets(this.name, services);
    const chosen = services.map((service) => [service.name, this.#serverOf(service, services)] as const);
    // One that no service names any more stays guarded, and admits nobody.
    for (const guarded of this.#all()) guarded.service = null;
    for (const [name, guarded] of chosen) guarded.service = name;
    this.#book.setServices(services);
    this.#guardAll();
    if (!cluster.isWorker) return;
    warning(
      'gate: this process is one of a cluster, whose other processes take connections too: a knock is heard here, and its ' +
        'connection may come there (let one process alone have the server)',
    );
  }

  async open(grant: Grant): Promise<void> {
    this.#book.open(grant);
    return Promise.resolve();
  }

  close(grant: Grant): Promise<void> {
    this.#book.close(grant);
    return Promise.resolve();
  }

  list(): Promise<readonly Opening[]> {
    const grants = this.#book.grants({ lingering: true });
    return Promise.resolve(grants.map(({ service, source }) => ({ service, source })));
  }

  teardown(): Promise<void> {
    for (const guarded of this.#all()) {
      guarded.unguard?.();
      guarded.unguard = null;
    }
    this.#book.setServices([]);
    return Promise.resolve();
  }

  #all(): readonly Guarded[] {
    return this.#only === null ? [...this.#byName.values()] : [this.#only];
  }

  #guardAll(): void {
    for (const guarded of this.#all()) {
      guarded.unguard ??= guard(
        guarded.server,
        (remote) => guarded.service !== null && this.#book.admit(guarded.service, sourceText(remote)),
      );
    }
  }

  #serverOf({ name, protocol }: Service, all: readonly Service[]): Guarded {
    if (protocol !== 'tcp') throw unsupported(`service ${name}: a gate guards TCP servers, not ${protocol}`);
    const guarded = this.#only ?? this.#byName.get(name);
    if (guarded === undefined) throw unsupported(`service ${name}: the gate has no server of this name`);
    if (this.#only !== null && all.length > 1) {
      throw unsupported(
        `service ${name} is not the only one (give the gate its servers by name: { ${name}: server })`,
      );
    }
    if (typeof guarded.server.address() === 'string') {
      throw unsupported(
        `service ${name}: its server listens on a unix socket, whose peers have no address (listen on a TCP port)`,
      );
    }
    return guarded;
  }
}

/** @throws TypeError */
function namedServers(servers: unknown): ReadonlyMap<string, Guarded> {
  if (typeof servers !== 'object' || servers === null) {
    throw new TypeError(
      `server must be a net.Server, got ${servers === null ? 'null' : typeof servers} (of an Express app: http.createServer(app))`,
    );
  }
  const found = new Map<string, Guarded>();
  const seen = new Set<Server>();
  for (const [name, server] of Object.entries(servers)) {
    if (!(server instanceof Server)) {
      throw new TypeError(
        `server '${printable(name, 40)}' must be a net.Server, got ${typeof server} (of a Fastify app: fastify.server)`,
      );
    }
    if (seen.has(server)) {
      throw new TypeError(`server '${printable(name, 40)}' is there under another name, too`);
    }
    seen.add(server);
    found.set(name, { server, service: null, unguard: null });
  }
  if (found.size === 0) throw new TypeError('servers must be at least one');
  return found;
}

/**
 * Puts `admits` between a server and its listeners. Only `emit` comes before all of them, also those that are added
 * later; a listener of ours could not keep the socket from the others. Returns what takes it away again.
 */
function guard(server: Server, admits: (remote: string) => boolean): () => void {
  const own = Object.getOwnPropertyDescriptor(server, 'emit');
  const emit = server.emit.bind(server) as (event: string | symbol, ...args: unknown[]) => boolean;
  let guarding = true;
  const guarded = (event: string | symbol, ...args: unknown[]): boolean => {
    if (!guarding || event !== 'connection') return emit(event, ...args);
    const [stream] = args;
    if (admits((stream instanceof Socket ? stream.remoteAddress : null) ?? '')) return emit(event, ...args);
    if (stream instanceof Duplex) refuse(stream);
    return true;
  };
  Object.defineProperty(server, 'emit', { value: guarded, configurable: true, writable: true });
  return () => {
    guarding = false;
    // Somebody who wrapped it after us keeps a wrapper of nothing.
    if (Object.getOwnPropertyDescriptor(server, 'emit')?.value !== guarded) return;
    if (own === undefined) Reflect.deleteProperty(server, 'emit');
    else Object.defineProperty(server, 'emit', own);
  };
}

/** A reset, as from a closed port; where there can be none (a pipe, TLS within TLS), just the end. */
function refuse(stream: Duplex): void {
  // Nobody else listens: an error of a stranger's connection would end the process.
  stream.on('error', () => undefined);
  try {
    if (stream instanceof Socket) stream.resetAndDestroy();
  } catch {
    // Node refuses a reset of what is not a TCP socket.
  }
  stream.destroy();
}

/** As grants write it: IPv4 as such, no zone, RFC 5952. */
function sourceText(remote: string): string {
  const [bare = ''] = remote.split('%');
  const mapped = bare.replace(/^::ffff:/iu, '');
  const address = parseAddress(isIPv4(mapped) ? mapped : bare);
  return address === null ? '' : formatAddress(address);
}

function unsupported(message: string): KnockError {
  return new KnockError('ERR_FIREWALL_UNSUPPORTED', message);
}
