// The packets of the real fwknop client (protocols/fwknop.md), drop-in: what the scheme is made of. The checks, in their
// order, are in fwknop-gate.ts.

import { LEAST_CHARACTERS, MOST_GPG_CHARACTERS } from './fwknop-cipher.ts';
import { groupsOf, type FwknopClient, type FwknopService } from './fwknop-clients.ts';
import { FUTURE_MS, FwknopGate, PAST_MS } from './fwknop-gate.ts';
import type { Scheme } from './scheme.ts';

/** {@link fwknop}'s options. */
export interface FwknopOptions {
  /** UDP port of the knocks; 62201 unless said. */
  readonly port?: number;
  /** The services with their ports, since a packet asks for ports: it may name those of its client's services only. */
  readonly services: Readonly<Record<string, FwknopService>>;
  readonly clients: Readonly<Record<string, FwknopClient>>;
}

export const FWKNOP_PORT = 62201;

/**
 * The scheme for the packets of the real fwknop client.
 *
 * @throws TypeError, RangeError for a key, port or name that cannot be used
 * @example
 * ```ts
 * const scheme = fwknop({
 *   services: { ssh: { port: 22 } },
 *   clients: { phone: { keyBase64, hmacKeyBase64, hmacDigest: 'sha256' } },
 * });
 * ```
 */
export function fwknop(options: FwknopOptions): Scheme {
  const { port = FWKNOP_PORT, services, clients } = options;
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new RangeError(`port must be a whole number from 1 to 65535, got ${port}`);
  }
  const gate = new FwknopGate({ port, groups: groupsOf(clients, services) });
  return {
    name: 'fwknop',
    needs: [{ protocol: 'udp', ports: [port, port], payloadLength: [LEAST_CHARACTERS, MOST_GPG_CHARACTERS] }],
    clients: Object.keys(clients),
    validityMs: PAST_MS + FUTURE_MS,
    replayable: false,
    match: (packet) => gate.match(packet),
  };
}
