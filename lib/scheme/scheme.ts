// What a scheme is: pure recognition of knocks. No I/O, no timers, no store: a packet goes in, a value comes out.

import type { Prefix } from '../address.ts';
import type { PacketView } from '../packet/view.ts';
import type { Observer } from './remark.ts';

/**
 * Why a knock was refused, whole list:
 * - `bad-tag`: an SPA datagram of the right length, port and hint whose gateway tag is wrong (another access key?)
 * - `malformed`: its sender has the access key, but the content breaks the format; or it looks like a packet of fwknop,
 *   and is not spelled or made as one
 * - `audience`: it is meant for another gateway
 * - `unknown-client`: nobody with that key is configured
 * - `stale`: sent too long ago by the client's clock, or delayed beyond its own end
 * - `future`: sent too far ahead of the gateway's clock
 * - `bad-signature`: the client's own tag or signature is wrong
 * - `too-many-checks`: more signatures to check than the budget allows
 * - `too-many-knocks`: so many of the client's knocks are being handled that this one is not
 * - `bind-refused`: the client is configured for a narrower source than the knock asks for
 * - `source-mismatch`: it came from another address than it names
 * - `prefix-too-wide`: it asks for a wider prefix than the policy allows
 * - `client-expired`: the client's key has expired
 * - `wrong-port`: a valid tag on a port that is not its own
 * - `gpg-packet`: a packet of fwknop in its GPG mode, which is not supported
 * - `hmac-mismatch`: a packet of fwknop whose HMAC is that of no client (another key, or another digest)
 * - `decrypt-failed`: a packet of fwknop that the client's key and encryption mode do not decrypt
 * - `digest-mismatch`: a packet of fwknop whose inner digest is wrong
 * - `command-refused`: it asks to run a command
 * - `nat-refused`: it asks for a forwarded port that the client may not have (`detail`: where to)
 * - `port-refused`: it asks for a port that is none of the client's services (`detail`: `tcp/23`)
 * - `attempt-table-full`: a valid tag, but too many sources are sending this same knock
 * - `replayed`: this knock, or a later one of the same client, was accepted before
 * - `replay-window`: the replay state was missing; knocks are refused until every old one has expired
 * - `replay-failed`: the replay state could not be made durable
 * - `source-refused`: the source address cannot hold a grant (unspecified, loopback, multicast, our own...), or the
 *   client may not knock from there
 * - `client-unknown`: the scheme knows the client, the policy does not
 * - `service-refused`: the client may not open that service
 * - `grant-failed`: the firewall refused; nothing was left open
 */
export type RejectReason =
  | 'bad-tag'
  | 'malformed'
  | 'audience'
  | 'unknown-client'
  | 'stale'
  | 'future'
  | 'bad-signature'
  | 'too-many-checks'
  | 'too-many-knocks'
  | 'bind-refused'
  | 'source-mismatch'
  | 'prefix-too-wide'
  | 'client-expired'
  | 'wrong-port'
  | 'gpg-packet'
  | 'hmac-mismatch'
  | 'decrypt-failed'
  | 'digest-mismatch'
  | 'command-refused'
  | 'nat-refused'
  | 'port-refused'
  | 'attempt-table-full'
  | 'replayed'
  | 'replay-window'
  | 'replay-failed'
  | 'source-refused'
  | 'client-unknown'
  | 'service-refused'
  | 'grant-failed';

/** What a scheme makes of a packet that concerns it; `null` means "nothing to report" (not mine, or not yet). */
export type Match = Rejection | Duplicate | KnockRequest;

/** A packet that was recognised and refused. */
export interface Rejection {
  readonly kind: 'reject';
  readonly reason: RejectReason;
  readonly client?: string;
  /** How far the client's clock is ahead (behind: negative), milliseconds; only when the client itself was verified. */
  readonly clockOffsetMs?: number;
  /** What exactly was refused, where the reason does not say it: `tcp/23`. Printable, and short. */
  readonly detail?: string;
}

/** The client's last knock once more, to the byte and from the same source: senders may send each datagram twice. */
export interface Duplicate {
  readonly kind: 'duplicate';
  readonly client: string;
}

/** A knock that proved who it is. */
export interface KnockRequest {
  readonly kind: 'request';
  readonly client: string;
  /** The services that the knock names; `null`: all that the client may open. */
  readonly services: readonly string[] | null;
  /** What must be claimed in the replay store before anything opens; `null`: the scheme has no replay protection. */
  readonly counter: bigint | null;
  /**
   * Instead of a counter: this knock's own id (hex SHA-256 of what is authenticated of it), claimed once. After
   * `untilMs` (Unix milliseconds, which follows from the knock alone) it may be forgotten: the knock is too old by then.
   */
  readonly once?: { readonly id: string; readonly untilMs: number };
  /** Whose counter it is; the client's unless said. */
  readonly account?: string;
  /** Takes the client's grants for these services back instead of opening them. */
  readonly close?: true;
  /** Who the knock itself says it is for, in place of the packet's source; the packet must come from there. */
  readonly claim?: Prefix;
  /** The client may name this address though the packet comes from another one. */
  readonly elsewhere?: true;
  /** Unix milliseconds after which nothing may be open because of this knock. */
  readonly until?: number;
}

/** What a scheme must see, for the kernel's filter. Ports are inclusive ranges. */
export interface CaptureNeed {
  readonly protocol: 'udp' | 'tcp-syn';
  readonly ports: readonly [low: number, high: number];
  /** UDP payload length in bytes: the only one, or the least and the most. */
  readonly payloadLength?: number | readonly [least: number, most: number];
  /**
   * Values of which the XOR of the payload's first two 32-bit words (big-endian, as int32) must have one, for packets
   * around `timeMs`. They change with time, but those of one hour before and after stay among them.
   */
  readonly hints?: (timeMs: number) => readonly number[];
}

/** What a scheme may ask about the past, without changing it. */
export interface KnockHistory {
  /** The highest counter claimed by the client, or `null` when there is none, or it is not known without waiting. */
  floor(client: string): bigint | null;
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
  match(packet: PacketView, history: KnockHistory): Match | null;
  /** From now on tells what `match` does not report: knocks on their way, and packets that just missed. For explaining. */
  observe?(observer: Observer): void;
}
