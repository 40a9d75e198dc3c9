// What a scheme is: pure recognition of knocks. No I/O, no timers, no store: a packet goes in, a value comes out.

import type { PacketView } from '../packet/view.ts';

/**
 * Why a knock was refused, whole list:
 * - `wrong-port`: a valid tag on a port that is not its own
 * - `attempt-table-full`: a valid tag, but too many sources are sending this same knock
 * - `replayed`: this knock, or a later one of the same client, was accepted before
 * - `replay-window`: the replay state was missing; knocks are refused until every old one has expired
 * - `replay-failed`: the replay state could not be made durable
 * - `source-refused`: the source address cannot hold a grant (unspecified, loopback, multicast, our own...)
 * - `client-unknown`: the scheme knows the client, the policy does not
 * - `service-refused`: the client may not open that service
 * - `grant-failed`: the firewall refused; nothing was left open
 */
export type RejectReason =
  | 'wrong-port'
  | 'attempt-table-full'
  | 'replayed'
  | 'replay-window'
  | 'replay-failed'
  | 'source-refused'
  | 'client-unknown'
  | 'service-refused'
  | 'grant-failed';

/** What a scheme makes of a packet that concerns it; `null` means "nothing to report" (not mine, or not yet). */
export type Match =
  | { readonly kind: 'reject'; readonly reason: RejectReason; readonly client?: string }
  | {
      readonly kind: 'request';
      readonly client: string;
      /** The services that the knock names; `null`: all that the client may open. */
      readonly services: readonly string[] | null;
      /** What must be claimed in the replay store before anything opens; `null`: the scheme has no replay protection. */
      readonly counter: bigint | null;
    };

/** What a scheme must see, for the kernel's filter. Ports are inclusive ranges. */
export interface CaptureNeed {
  readonly protocol: 'udp' | 'tcp-syn';
  readonly ports: readonly [low: number, high: number];
  /** Exact UDP payload length, when the scheme has only one. */
  readonly payloadLength?: number;
}

/** A way to knock, with the clients that use it. */
export interface Scheme {
  readonly name: string;
  readonly needs: readonly CaptureNeed[];
  /** Names of the clients that use this scheme. */
  readonly clients: readonly string[];
  /** How long a recorded knock could be valid at most, milliseconds; 0 when it has no counter. */
  readonly validityMs: number;
  /** True when a recorded knock of this scheme works again (plain sequences): warned about at start. */
  readonly replayable: boolean;
  /** Looks at one packet. Called for every TCP and UDP packet, so it must not allocate for those that are not its own. */
  match(packet: PacketView): Match | null;
}
