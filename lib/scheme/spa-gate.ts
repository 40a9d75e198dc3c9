// The gateway's order of checks (protocols/spa.md, "The gateway's order"): cheap before dear, nothing parsed before the
// gateway tag is right, nothing remembered before the client's own proof is, silence at every failure. Policy, claiming
// the counter and opening anything come after, in the pipeline.

import { ctr } from '../crypto/cipher.ts';
import { equalBytes } from '../crypto/mac.ts';
import { UDP, sourceOf, type PacketView } from '../packet/view.ts';
import type { MissRemark, Observer } from './remark.ts';
import type { KnockHistory, Match, RejectReason } from './scheme.ts';
import { CheckBudget } from './spa-budget.ts';
import type { KnownClient } from './spa-clients.ts';
import * as format from './spa-format.ts';
import { EPOCH_MS, hintsAround, MOST_BYTES, type AccessKey } from './spa-keys.ts';

/** How old a knock may be by the client's clock, and how far ahead. */
export const PAST_MS = 120_000;
export const FUTURE_MS = 30_000;

const BAD_TAG: Match = { kind: 'reject', reason: 'bad-tag' };
const WRONG_LENGTH: MissRemark = { kind: 'missed', reason: 'wrong-length' };
const WRONG_HINT: MissRemark = { kind: 'missed', reason: 'wrong-hint' };
const OTHER_HOUR: MissRemark = { kind: 'missed', reason: 'other-hour' };
/** Of datagrams without the hint, how many tags are checked only to be able to say more of them. */
const MOST_LOOKS = 1000;

/** What the gateway knows. */
export interface GateParts {
  readonly keys: readonly AccessKey[];
  readonly port: number;
  /** False when some client has no clock, and so cannot know the hint of the hour. */
  readonly hinted: boolean;
  readonly audience: Buffer;
  /** Names of the services by their ids. */
  readonly services: ReadonlyMap<number, string>;
  readonly clientOf: (suite: format.Suite, id: string) => KnownClient | undefined;
}

interface Opened {
  readonly packet: PacketView;
  readonly nonce: Buffer;
  readonly content: Buffer;
  readonly head: format.Head;
  readonly client: KnownClient;
}

/** The gateway's side of the scheme. */
export class SpaGate {
  readonly #parts: GateParts;
  readonly #budget = new CheckBudget();
  #epoch = Number.NaN;
  #hints: readonly number[] = [];
  #observer: Observer | null = null;
  #looks = 0;

  constructor(parts: GateParts) {
    this.#parts = parts;
  }

  observe(observer: Observer): void {
    this.#observer = observer;
  }

  match(packet: PacketView, history: KnockHistory): Match | null {
    if (packet.protocol !== UDP || packet.dstPort !== this.#parts.port) return null;
    if (packet.payloadLength < format.LEAST_BYTES || packet.payloadLength > MOST_BYTES) {
      this.#observer?.(WRONG_LENGTH, packet);
      return null;
    }
    if (this.#parts.hinted && !this.#hasHint(packet)) {
      this.#observer?.(this.#missOf(packet), packet);
      return null;
    }
    const key = this.#keyOf(packet);
    if (key === undefined) return BAD_TAG;
    const { bytes, payloadStart: start } = packet;
    const nonce = bytes.subarray(start + format.NONCE, start + format.TAG);
    const content = ctr(
      key.encryption,
      nonce,
      bytes.subarray(start + format.CONTENT, start + packet.payloadLength),
    );
    const head = format.decodeHead(content);
    if (head === null) return reject('malformed');
    const audience = content.subarray(format.AUDIENCE, format.AUDIENCE + format.ID_BYTES);
    if (!equalBytes(audience, this.#parts.audience)) return reject('audience');
    const client = this.#parts.clientOf(head.suite, idIn(content));
    if (client === undefined) return reject('unknown-client');
    return this.#judge({ packet, nonce, content, head, client }, history);
  }

  /** Everything from the client on: the time and the past, the client's own proof, what it asks for. */
  #judge({ packet, nonce, content, head, client }: Opened, history: KnockHistory): Match {
    const name = client.name;
    const mark = markOf(packet);
    const source = sourceText(packet);
    if (client.last?.mark === mark && client.last.source === source)
      return { kind: 'duplicate', client: name };
    const offsetMs = Number(head.counter >> 16n) - packet.timeMs;
    const untimely = untimeliness(offsetMs, client.hasClock);
    if (untimely !== null) {
      const verified = this.#budget.takeReport(packet.timeMs) && client.proves(nonce, content);
      return reject(untimely, name, verified ? offsetMs : undefined);
    }
    const floor = history.floor(name);
    if (floor !== null && head.counter <= floor) return reject('replayed', name);
    if (client.suite === 2 && !this.#mayCheck(client, packet)) {
      return reject('too-many-checks', name);
    }
    if (!client.proves(nonce, content)) return reject('bad-signature', name);
    client.last = { mark, source };
    const body = format.decodeBody(client.body(nonce, content), head.bind);
    if (body === null) return reject('malformed', name);
    return this.#requestOf(head, body, client, packet.timeMs, offsetMs);
  }

  #mayCheck({ name, last }: KnownClient, packet: PacketView): boolean {
    const source = sourceText(packet);
    return last?.source === source
      ? this.#budget.takeKnown(name, source, packet.timeMs)
      : this.#budget.take(name, siteOf(packet), packet.timeMs);
  }

  #requestOf(
    { counter, close }: format.Head,
    { claim, ttlSeconds, serviceIds }: format.Body,
    client: KnownClient,
    timeMs: number,
    offsetMs: number,
  ): Match {
    const services = serviceIds.map((id) => this.#parts.services.get(id));
    const named = services.filter((service) => service !== undefined);
    if (named.length < services.length) return reject('service-refused', client.name);
    // Absolute, so that a delayed copy opens nothing for longer than the original would have.
    const until = timeMs + offsetMs + ttlSeconds * 1000;
    if (ttlSeconds > 0 && until <= timeMs) return reject('stale', client.name, offsetMs);
    return {
      kind: 'request',
      client: client.name,
      services: [...new Set(named)],
      counter,
      ...(close ? { close } : {}),
      ...(claim === null ? {} : { claim }),
      ...(ttlSeconds === 0 ? {} : { until }),
    };
  }

  /** The kernel has looked already where it can; sockets and savefiles come here unfiltered. */
  #hasHint({ bytes, payloadStart, timeMs }: PacketView): boolean {
    const epoch = Math.floor(timeMs / EPOCH_MS);
    if (epoch !== this.#epoch) {
      this.#epoch = epoch;
      this.#hints = hintsAround(this.#parts.keys, timeMs);
    }
    return this.#hints.includes(bytes.readInt32BE(payloadStart) ^ bytes.readInt32BE(payloadStart + 4));
  }

  /** Of a datagram without the hint. */
  #missOf(packet: PacketView): MissRemark {
    this.#looks += 1;
    return this.#looks <= MOST_LOOKS && this.#keyOf(packet) !== undefined ? OTHER_HOUR : WRONG_HINT;
  }

  #keyOf({ bytes, payloadStart: start, payloadLength }: PacketView): AccessKey | undefined {
    const said = bytes.subarray(start + format.TAG, start + format.CONTENT);
    for (const key of this.#parts.keys) {
      const { mac } = key;
      mac.add(bytes, start + format.NONCE, start + format.TAG);
      mac.add(bytes, start + format.CONTENT, start + payloadLength);
      if (mac.isTag(said, format.TAG_BYTES)) return key;
    }
    return undefined;
  }
}

/** The future bound is never off: a clock far ahead must not lock its client out for ever. */
function untimeliness(offsetMs: number, hasClock: boolean): RejectReason | null {
  if (offsetMs > FUTURE_MS) return 'future';
  return hasClock && offsetMs < -PAST_MS ? 'stale' : null;
}

function reject(reason: RejectReason, client?: string, clockOffsetMs?: number): Match {
  return {
    kind: 'reject',
    reason,
    ...(client === undefined ? {} : { client }),
    ...(clockOffsetMs === undefined ? {} : { clockOffsetMs }),
  };
}

function idIn(content: Buffer): string {
  return content.toString('latin1', format.CLIENT_ID, format.CLIENT_ID + format.ID_BYTES);
}

/** The tag covers every other byte, so nonce and tag tell one datagram from every other. */
function markOf({ bytes, payloadStart: start }: PacketView): string {
  return bytes.toString('latin1', start + format.NONCE, start + format.CONTENT);
}

/** Whoever has one address of an IPv6 network can have all of its /64. */
function siteOf(packet: PacketView): string {
  return packet.family === 4 ? sourceText(packet) : `${packet.src0} ${packet.src1}`;
}

function sourceText(packet: PacketView): string {
  return sourceOf(packet).words.join(' ');
}
