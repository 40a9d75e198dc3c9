// Single-packet authorization (protocols/spa.md): one datagram that says who, what and when, and proves it.
// Here: what the scheme is made of. The checks, in their order, are in spa-gate.ts.

import { printable } from '../errors.ts';
import type { Scheme } from './scheme.ts';
import { knownClients, type SpaClient } from './spa-clients.ts';
import { LEAST_BYTES } from './spa-format.ts';
import { FUTURE_MS, PAST_MS, SpaGate } from './spa-gate.ts';
import { accessKeyOf, audienceOf, hintsAround, MOST_BYTES, serviceIdOf } from './spa-keys.ts';

/** {@link spa}'s options. */
export interface SpaOptions {
  /** This gateway's name: a knock for another one is refused. */
  readonly gateway: string;
  /** The gateway's access key, 32 bytes; during a rotation the new one and the old one. */
  readonly accessKeys: readonly Uint8Array[];
  /** UDP port of the knocks; 62201 unless said. */
  readonly port?: number;
  /** Names of the services that knocks may name. */
  readonly services: readonly string[];
  readonly clients: Readonly<Record<string, SpaClient>>;
}

export const SPA_PORT = 62201;
const MOST_ACCESS_KEYS = 2;

/**
 * The SPA scheme.
 *
 * @throws TypeError, RangeError for a key, port or name that cannot be used
 * @example
 * ```ts
 * const scheme = spa({
 *   gateway: 'gw.example',
 *   accessKeys: [accessKey],
 *   services: ['ssh'],
 *   clients: { alice: { publicKey: 'ssh-ed25519 AAAA... alice@laptop' } },
 * });
 * ```
 */
export function spa(options: SpaOptions): Scheme {
  const { gateway, accessKeys, port = SPA_PORT, services, clients } = options;
  if (accessKeys.length < 1 || accessKeys.length > MOST_ACCESS_KEYS) {
    throw new RangeError(`accessKeys must be one or two, got ${accessKeys.length}`);
  }
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new RangeError(`port must be a whole number from 1 to 65535, got ${port}`);
  }
  const keys = accessKeys.map(accessKeyOf);
  const hinted = Object.values(clients).every(({ clock = true }) => clock);
  const gate = new SpaGate({
    keys,
    port,
    hinted,
    audience: audienceOf(gateway),
    services: namesById(services),
    clientOf: knownClients(clients),
  });
  return {
    name: 'spa',
    needs: [
      {
        protocol: 'udp',
        ports: [port, port],
        payloadLength: [LEAST_BYTES, MOST_BYTES],
        ...(hinted ? { hints: (timeMs: number) => hintsAround(keys, timeMs) } : {}),
      },
    ],
    clients: Object.keys(clients),
    // Of clients with a clock. Knocks of the others do not age: no wait after a loss of the replay state would do.
    validityMs: PAST_MS + FUTURE_MS,
    replayable: false,
    match: (packet, history) => gate.match(packet, history),
    observe(observer) {
      gate.observe(observer);
    },
  };
}

function namesById(services: readonly string[]): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  for (const service of services) {
    const id = serviceIdOf(service);
    const other = names.get(id);
    if (other !== undefined && other !== service) {
      throw new TypeError(
        `services must have different ids, got '${printable(other)}' and '${printable(service)}'`,
      );
    }
    names.set(id, service);
  }
  return names;
}
