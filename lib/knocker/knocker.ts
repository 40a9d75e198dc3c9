// The client: knocks as its profile says, and connects through the opening. Needs no root and no native code.

import type { Agent } from 'node:http';
import type { Socket } from 'node:net';
import { systemClock, type Clock } from '../clock.ts';
import { KnockError, printable } from '../errors.ts';
import { oneTimeKnocks } from '../scheme/one-time-key.ts';
import { knockAgent } from './agent.ts';
import type { OneTimeProfile, Profile } from './profile.ts';
import { reach } from './reach.ts';
import { resolveHost, sendInOrder, sendTagged } from './send.ts';
import { memoryState, Steps, type KnockState } from './steps.ts';
import { keepAlive, wait } from './wait.ts';

/** What a {@link Knocker} may be told beside its profile. */
export interface KnockerOptions {
  /** Where the last used one-time step is kept; in memory unless said. */
  readonly state?: KnockState;
  readonly clock?: Clock;
  /** Only addresses of this family; the resolver's first unless said. */
  readonly family?: 4 | 6;
  /** Between the knocks of a sequence that must stay in order, milliseconds; 20 unless said. */
  readonly delayMs?: number;
}

/** What was sent. */
export interface Knocked {
  /** The gateway's address. */
  readonly sentTo: string;
  readonly packets: number;
  /** The one-time step that was used up. */
  readonly step?: number;
}

/** How long a {@link Knocker} tries, and what makes it give up earlier. */
export interface ReachOptions {
  readonly signal?: AbortSignal;
  /** How long to try, milliseconds; 10,000 unless said. */
  readonly timeoutMs?: number;
}

/** Waiting longer than this for a step is no matter of too many knocks: the clock has been set back. */
const LONGEST_WAIT_MS = 2 * 3600 * 1000;

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
  readonly #delayMs: number;
  readonly #steps: Steps;

  constructor(profile: Profile, options: KnockerOptions = {}) {
    this.#profile = profile;
    this.#clock = options.clock ?? systemClock;
    this.#family = options.family;
    this.#delayMs = options.delayMs ?? 20;
    const stepSeconds = profile.scheme === 'one-time' ? profile.step : 1;
    this.#steps = new Steps(options.state ?? memoryState(), this.#clock, stepSeconds);
  }

  /**
   * Knocks once. That the knock was accepted shows only in that the port opens.
   *
   * @throws RangeError for a service that the profile does not have
   * @throws KnockError `ERR_KNOCK_AHEAD`, `ERR_RESOLVE`, `ERR_SEND`, `ERR_STATE`
   */
  async knock(service?: string, { signal }: { readonly signal?: AbortSignal } = {}): Promise<Knocked> {
    if (service !== undefined) this.#portOf(service);
    const address = await keepAlive(this.#resolve(signal));
    const sent = await keepAlive(this.#knockAt(address, 0, signal));
    return 'waitMs' in sent ? this.#refuseAhead(sent.waitMs) : sent;
  }

  /**
   * Knocks, with fresh knocks until the service's TCP port accepts a connection, and then once more: the connection
   * that found the port open used up the opening. That last knock cannot be verified without spending it as well;
   * it waits for its one-time step if it must.
   *
   * @throws KnockError `ERR_NOT_OPEN`, and those of {@link Knocker.knock}
   */
  async knockAndWait(service?: string, options: ReachOptions = {}): Promise<Knocked> {
    const { address, socket } = await keepAlive(this.#reach(service, options, 1));
    socket.destroy();
    return keepAlive(this.#knockWhenAllowed(address, options.signal));
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
    return knockAgent((port) => this.connect(service ?? this.#serviceAt(port)));
  }

  async #reach(
    service: string | undefined,
    { signal, timeoutMs = 10_000 }: ReachOptions,
    keep: number,
  ): Promise<{ address: string; socket: Socket }> {
    const port = this.#portOf(service);
    const address = await this.#resolve(signal);
    let knocks = 0;
    const socket = await reach({
      address,
      port,
      timeoutMs,
      signal,
      clock: this.#clock,
      // A retransmitted SYN of an earlier attempt in the midst of untagged knocks would start the sequence over.
      keepAttempts: this.#profile.scheme === 'one-time' && this.#profile.carrier === 'udp',
      knock: async (stop) => {
        const sent = await this.#knockAt(address, keep, stop);
        if ('waitMs' in sent) return sent.waitMs;
        knocks += 1;
        return 0;
      },
      refuseAhead: (waitMs) => this.#refuseAhead(waitMs),
    });
    if (socket !== null) return { address, socket };
    const host = printable(this.#profile.host);
    throw new KnockError(
      'ERR_NOT_OPEN',
      `port ${port} of ${host} did not accept after ${knocks} ${knocks === 1 ? 'knock' : 'knocks'} in ` +
        `${timeoutMs / 1000} s (check this computer's clock, the route, and what the gateway reports)`,
    );
  }

  async #knockWhenAllowed(address: string, signal?: AbortSignal): Promise<Knocked> {
    for (;;) {
      const sent = await this.#knockAt(address, 0, signal);
      if (!('waitMs' in sent)) return sent;
      if (sent.waitMs > LONGEST_WAIT_MS) this.#refuseAhead(sent.waitMs);
      await wait(this.#clock, sent.waitMs, signal);
    }
  }

  /** One knock at an address that stays the same for the connection that follows; `keep` as in {@link Steps.claim}. */
  async #knockAt(address: string, keep: number, signal?: AbortSignal): Promise<Knocked | { waitMs: number }> {
    const profile = this.#profile;
    signal?.throwIfAborted();
    if (profile.scheme === 'one-time') return this.#oneTimeAt(profile, address, keep, signal);
    await sendInOrder(address, profile.sequence, { delayMs: this.#delayMs, clock: this.#clock, signal });
    return { sentTo: address, packets: profile.sequence.length };
  }

  async #oneTimeAt(
    profile: OneTimeProfile,
    address: string,
    keep: number,
    signal?: AbortSignal,
  ): Promise<Knocked | { waitMs: number }> {
    const claim = await this.#steps.claim(keep);
    if ('waitMs' in claim) return claim;
    const { step } = claim;
    const knocks = oneTimeKnocks(profile, step);
    if (profile.carrier === 'udp') await sendTagged(address, knocks, signal);
    else {
      const ports = knocks.map(({ port }) => ({ port, protocol: 'tcp' as const }));
      await sendInOrder(address, ports, { delayMs: this.#delayMs, clock: this.#clock, signal });
    }
    return { sentTo: address, packets: knocks.length, step };
  }

  #resolve(signal?: AbortSignal): Promise<string> {
    return resolveHost(this.#profile.host, this.#family, signal);
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

  #serviceAt(port: number): string {
    const found = Object.entries(this.#profile.services).find(([, each]) => each === port);
    if (found !== undefined) return found[0];
    throw new RangeError(`port must be one of the profile's services, got ${port}`);
  }

  #refuseAhead(waitMs: number): never {
    const advice =
      waitMs > LONGEST_WAIT_MS
        ? "this computer's clock is behind the last knock: set it right"
        : `wait ${Math.ceil(waitMs / 1000)} s`;
    throw new KnockError(
      'ERR_KNOCK_AHEAD',
      `too many knocks in a row: the next is not valid yet (${advice})`,
    );
  }
}
