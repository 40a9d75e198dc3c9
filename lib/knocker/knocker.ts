// The client: knocks as its profile says, and connects through the opening. Needs no root and no native code.

import type { Agent } from 'node:http';
import type { Socket } from 'node:net';
import { isWholeAddress, parsePrefix, type Prefix } from '../address.ts';
import { systemClock, type Clock } from '../clock.ts';
import { isKnockError, KnockError, printable } from '../errors.ts';
import { knockAgent } from './agent.ts';
import { LONGEST_WAIT_MS, notOpen, refuseAhead } from './failures.ts';
import { memoryState } from './ledger.ts';
import { fwknopSender } from './fwknop-sender.ts';
import { oneTimeSender } from './one-time-sender.ts';
import type { Profile } from './profile.ts';
import { hangUp, reach } from './reach.ts';
import { resolveHost, type Addresses } from './resolve.ts';
import type { Knocked, KnockerOptions, KnockSender, KnockTarget } from './sender.ts';
import { sequenceSender } from './sequence-sender.ts';
import { spaSender } from './spa-sender.ts';
import { keepAlive, wait } from './wait.ts';

/** One knock's options. */
export interface KnockOptions {
  readonly signal?: AbortSignal;
  /** Takes the client's openings back instead of making one; SPA only. */
  readonly close?: boolean;
}

/** How long a {@link Knocker} tries, and what makes it give up earlier. */
export interface ReachOptions {
  readonly signal?: AbortSignal;
  /** How long to try, milliseconds; 10,000 unless said. */
  readonly timeoutMs?: number;
  /** The host to connect to, when it is not the gateway itself. */
  readonly host?: string;
}

/** What is knocked at and connected to: addresses of one family. */
interface Route {
  readonly gateway: Addresses;
  readonly host: Addresses;
}

/** SPA knocks name at most so many services. */
const MOST_SERVICES = 8;

/**
 * A client of one gateway.
 *
 * @example
 * ```ts
 * const knocker = new Knocker(parseProfile(text));
 * await knocker.knock('ssh');
 * ```
 */
export class Knocker {
  readonly #profile: Profile;
  readonly #clock: Clock;
  readonly #family: 4 | 6 | undefined;
  readonly #sender: KnockSender;

  /** @throws TypeError for a signer or a source that does not fit the profile */
  constructor(profile: Profile, options: KnockerOptions = {}) {
    this.#profile = profile;
    this.#clock = options.clock ?? systemClock;
    const claim = claimOf(profile, options.source);
    this.#family = options.family ?? claim?.address.family;
    this.#sender = senderOf(profile, options, { clock: this.#clock, claim });
  }

  /**
   * Knocks once. That the knock was accepted shows only in that the port opens.
   *
   * @throws RangeError for a service that the profile does not have
   * @throws KnockError `ERR_KNOCK_AHEAD`, `ERR_RESOLVE`, `ERR_SEND`, `ERR_STATE`, `ERR_AGENT`
   */
  async knock(service?: string, options: KnockOptions = {}): Promise<Knocked> {
    const { signal, close = false } = options;
    if (close && !this.#sender.closes) {
      throw new RangeError(`close needs a profile of scheme spa, got ${this.#profile.scheme}`);
    }
    const services = this.#servicesOf(service);
    return keepAlive(
      this.#byRoute({ signal }, async ({ gateway }) => {
        const sent = await this.#sender.knock({
          addresses: gateway,
          services,
          close,
          keep: 0,
          unseen: false,
          signal,
        });
        return 'waitMs' in sent ? refuseAhead(sent.waitMs) : sent;
      }),
    );
  }

  /**
   * Knocks, with fresh knocks until the service's TCP port accepts a connection, and then once more: the connection
   * that found the port open used up the opening. That last knock cannot be verified without spending it as well;
   * it waits for its one-time step if it must.
   *
   * @throws KnockError `ERR_NOT_OPEN`, and those of {@link Knocker.knock}
   */
  async knockAndWait(service?: string, options: ReachOptions = {}): Promise<Knocked> {
    const { socket, target } = await keepAlive(this.#reach(service, options, 1));
    await keepAlive(hangUp(socket, this.#clock));
    return keepAlive(this.#knockWhenAllowed({ ...target, keep: 0, unseen: true, signal: options.signal }));
  }

  /**
   * Knocks and connects, with fresh knocks and fresh attempts until one is accepted; the connection is yours.
   * A service that closes every connection at once without a byte is taken for a refusal.
   *
   * @throws KnockError `ERR_NOT_OPEN`, and those of {@link Knocker.knock}
   */
  async connect(service?: string, options: ReachOptions = {}): Promise<Socket> {
    const { socket } = await keepAlive(this.#reach(service, options, 0));
    return socket;
  }

  /**
   * An agent for `http.request` whose every new connection is knocked for. It always connects to the profile's host;
   * the service is the one with the request's port, unless one is named.
   */
  agent(service?: string): Agent {
    return knockAgent((port) => this.connect(service ?? this.serviceAt(port)));
  }

  /** The name of the service with this TCP port. @throws RangeError when the profile has none */
  serviceAt(port: number): string {
    const found = Object.entries(this.#profile.services).find(([, each]) => each === port);
    if (found !== undefined) return found[0];
    throw new RangeError(`port must be one of the profile's services, got ${port}`);
  }

  async #reach(
    service: string | undefined,
    options: ReachOptions,
    keep: number,
  ): Promise<{ socket: Socket; target: Omit<KnockTarget, 'keep' | 'unseen' | 'signal'> }> {
    const port = this.#portOf(service);
    const { signal, timeoutMs = 10_000 } = options;
    return this.#byRoute(options, async ({ gateway, host: [address] }) => {
      const target = { addresses: gateway, services: [this.serviceAt(port)], close: false };
      let knocks = 0;
      let behindMs = 0;
      const socket = await reach({
        address,
        port,
        timeoutMs,
        signal,
        clock: this.#clock,
        keepAttempts: this.#sender.keepsAttempts,
        knock: async (stop) => {
          const sent = await this.#sender.knock({ ...target, keep, unseen: false, signal: stop });
          if ('waitMs' in sent) return sent.waitMs;
          knocks += 1;
          behindMs = sent.clockBehindMs ?? 0;
          return 0;
        },
        refuseAhead,
      });
      if (socket !== null) return { socket, target };
      throw notOpen({ host: this.#profile.host, port, knocks, timeoutMs, behindMs });
    });
  }

  /** Runs `go` with the addresses of one family; those of the other are for when there is no way to the first. */
  async #byRoute<T>(
    { host, signal }: { readonly host?: string; readonly signal?: AbortSignal | undefined },
    go: (route: Route) => Promise<T>,
  ): Promise<T> {
    const options = { family: this.#family, signal };
    const gateways = await resolveHost(this.#profile.host, options);
    const hosts = host === undefined ? gateways : await resolveHost(host, options);
    const routes = [...hosts].flatMap(([family, addresses]) => {
      const gateway = gateways.get(family);
      return gateway === undefined ? [] : [{ gateway, host: addresses }];
    });
    for (const [index, route] of routes.entries()) {
      try {
        return await go(route);
      } catch (error) {
        const last = index === routes.length - 1;
        if (last || !isKnockError(error) || error.code !== 'ERR_SEND') throw error;
      }
    }
    throw new KnockError(
      'ERR_RESOLVE',
      `host and gateway have no address family in common: '${printable(host ?? '')}' (check their names)`,
    );
  }

  async #knockWhenAllowed(target: KnockTarget): Promise<Knocked> {
    for (;;) {
      const sent = await this.#sender.knock(target);
      if (!('waitMs' in sent)) return sent;
      if (sent.waitMs > LONGEST_WAIT_MS) refuseAhead(sent.waitMs);
      await wait(this.#clock, sent.waitMs, target.signal);
    }
  }

  #servicesOf(service: string | undefined): readonly string[] {
    if (service === undefined) return Object.keys(this.#profile.services).slice(0, MOST_SERVICES);
    this.#portOf(service);
    return [service];
  }

  #portOf(service: string | undefined): number {
    const { services } = this.#profile;
    const names = Object.keys(services);
    const name = service ?? (names.length === 1 ? names[0] : undefined);
    const port = name !== undefined && Object.hasOwn(services, name) ? services[name] : undefined;
    if (port !== undefined) return port;
    const got = service === undefined ? 'nothing' : `'${printable(service, 40)}'`;
    throw new RangeError(`service must be one of ${names.join(', ')}, got ${got}`);
  }
}

function senderOf(
  profile: Profile,
  options: KnockerOptions,
  { clock, claim }: { clock: Clock; claim: Prefix | null },
): KnockSender {
  const { state = memoryState(), delayMs = 20, signer } = options;
  switch (profile.scheme) {
    case 'spa':
      return spaSender(profile, { state, clock, signer, claim });
    case 'one-time':
      return oneTimeSender(profile, { state, clock, delayMs });
    case 'sequence':
      return sequenceSender(profile, { clock, delayMs });
    case 'fwknop':
      return fwknopSender(profile, { clock, claim });
  }
}

function claimOf({ scheme }: Profile, source: string | undefined): Prefix | null {
  if (source === undefined) return null;
  const claim = parsePrefix(source);
  if (claim === null)
    throw new TypeError(`source must be an address or a prefix, got '${printable(source)}'`);
  if (scheme === 'spa') return claim;
  if (scheme !== 'fwknop')
    throw new TypeError(`source needs a profile of scheme spa or fwknop, got ${scheme}`);
  if (claim.address.family === 4 && isWholeAddress(claim)) return claim;
  throw new TypeError(`source must be an IPv4 address in a knock of fwknop, got '${printable(source)}'`);
}
