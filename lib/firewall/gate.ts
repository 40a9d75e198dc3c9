// A gate inside this process, for a service that is a Node server: connections from sources without a grant end before
// a byte is read. The kernel has accepted them by then, so a scan sees an open port: a firewall hides, this only guards.

import { isIPv4, Server, Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { formatAddress, parseAddress } from '../address.ts';
import { systemClock, type Clock } from '../clock.ts';
import { KnockError } from '../errors.ts';
import { Book } from './book.ts';
import type { FirewallDriver, Grant, Opening, Service } from './driver.ts';
import { refuseTargets } from './forward.ts';

/** {@link gate}'s options. */
export interface GateOptions {
  /** The host's clock unless given. */
  readonly clock?: Clock;
}

/**
 * A driver that guards a `net.Server` of this process (or an `http`, `https` or `tls` one): a connection without a
 * grant is reset, and the server never hears of it. Given one server, it guards the only configured service; given
 * several by service name, each its own. TCP only.
 *
 * Guarding begins with `setup`, which {@link KnockListener.start} calls: let the server listen after that.
 *
 * @example
 * const server = http.createServer(app);
 * const driver = gate(server);
 */
export function gate(
  servers: Server | Readonly<Record<string, Server>>,
  { clock = systemClock }: GateOptions = {},
): FirewallDriver {
  return new GateDriver(servers, clock);
}

class GateDriver implements FirewallDriver {
  readonly name = 'gate';
  /** A recorded knock would open a real service, so replay state has to outlive a restart. */
  readonly real = true;
  readonly #servers: Server | Readonly<Record<string, Server>>;
  readonly #book: Book;
  /** What takes the guard from a service's server again. */
  readonly #unguard = new Map<string, () => void>();

  constructor(servers: Server | Readonly<Record<string, Server>>, clock: Clock) {
    this.#servers = servers;
    this.#book = new Book('gate', clock);
  }

  async setup(services: readonly Service[]): Promise<void> {
    refuseTargets(this.name, services);
    const servers = new Map(services.map((service) => [service.name, this.#serverOf(service, services)]));
    for (const [name, unguard] of [...this.#unguard]) {
      if (servers.has(name)) continue;
      unguard();
      this.#unguard.delete(name);
    }
    this.#book.setServices(services);
    for (const [name, server] of servers) {
      // A service of the same name has the same server, and stays guarded throughout.
      if (this.#unguard.has(name)) continue;
      this.#unguard.set(
        name,
        guard(server, (remote) => this.#book.admit(name, sourceText(remote))),
      );
    }
    return Promise.resolve();
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
    for (const unguard of this.#unguard.values()) unguard();
    this.#unguard.clear();
    this.#book.setServices([]);
    return Promise.resolve();
  }

  #serverOf({ name, protocol }: Service, all: readonly Service[]): Server {
    const servers = this.#servers;
    if (protocol !== 'tcp') throw unsupported(`service ${name}: a gate guards TCP servers, not ${protocol}`);
    if (!(servers instanceof Server)) {
      const server = Object.hasOwn(servers, name) ? servers[name] : undefined;
      if (server === undefined) throw unsupported(`service ${name}: the gate has no server of this name`);
      return server;
    }
    if (all.length === 1) return servers;
    throw unsupported(
      `service ${name} is not the only one (give the gate its servers by name: { ${name}: server })`,
    );
  }
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
    refuse(stream);
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

/** A reset, as from a closed port; where there can be none (a pipe, or the peer has gone), just the end. */
function refuse(stream: unknown): void {
  if (stream instanceof Socket && stream.remoteAddress !== undefined) stream.resetAndDestroy();
  else if (stream instanceof Duplex) stream.destroy();
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
