// The SPA vectors, given and our own, and a gateway that they are tried on. What `expect` says of a datagram that the
// scheme never looks into (`drop length`, `drop hint`) is silence.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { formatPrefix } from '../../lib/address.ts';
import { sourceOf } from '../../lib/packet/view.ts';
import { Access } from '../../lib/policy/access.ts';
import { spa } from '../../lib/scheme/spa.ts';
import type { KnockRequest, Scheme } from '../../lib/scheme/scheme.ts';
import { NO_HISTORY } from './history.ts';
import { datagram } from './packets.ts';
import type { OracleKnock } from './spa-oracle.ts';
import { oraclePublicLine } from './spa-oracle.ts';

/** All that a vector's keys and ids are, as hex. */
export interface SpaKeys {
  readonly gatewayAccessKey: string;
  readonly clientPsk: string;
  readonly ed25519Seed: string;
  readonly audience: { readonly name: string; readonly id: string };
  readonly services: Readonly<Record<string, string>>;
  readonly [name: string]: unknown;
}

export interface SpaVector {
  readonly name: string;
  /** `accept`, or `drop` and the reason. */
  readonly expect: string;
  readonly observedSource: string;
  readonly nowMs: number;
  readonly fields: {
    readonly suite: 1 | 2;
    readonly bind: 'observed' | 'exact' | 'prefix';
    readonly addr: string | null;
    readonly prefixLength: number;
    readonly services: readonly string[];
    readonly ttl: number;
    readonly ms: number;
    readonly seq: number;
    readonly close: boolean;
    readonly pad: number;
  };
  /** Hex. */
  readonly datagram: string;
  /** Names of the access keys that are live, when it is not `gatewayAccessKey` alone. */
  readonly live?: readonly string[];
  /** Which of them sealed it. */
  readonly sealedWith?: string;
  /** False: the gateway's clients have no clock. */
  readonly clock?: false;
  /** The epoch of the hint, when it is not that of `ms`. */
  readonly epoch?: number;
}

export interface SpaVectorFile {
  readonly keys: SpaKeys;
  readonly vectors: readonly SpaVector[];
}

export const KNOCK_PORT = 62_201;

export function readSpaVectors(name: 'spa' | 'spa-more'): SpaVectorFile {
  const text = readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), 'utf8');
  return JSON.parse(text) as SpaVectorFile;
}

export function hex(text: unknown): Buffer {
  return typeof text === 'string' ? Buffer.from(text, 'hex') : assert.fail(String(text));
}

/** A gateway with both clients, as the vector wants it. */
export function gatewayFor(
  { keys }: SpaVectorFile,
  { live = ['gatewayAccessKey'], clock = true }: { live?: readonly string[]; clock?: boolean } = {},
): Scheme {
  return spa({
    gateway: keys.audience.name,
    accessKeys: live.map((name) => hex(keys[name])),
    services: Object.keys(keys.services),
    clients: {
      psk: { secret: hex(keys.clientPsk), clock },
      ed: { publicKey: oraclePublicLine(hex(keys.ed25519Seed)), clock },
    },
  });
}

export interface Outcome {
  /** In the words of `expect`; `drop` alone: not looked into. */
  readonly said: string;
  /** What the scheme took it for, when it was a knock. */
  readonly request?: KnockRequest;
  /** Whom it opens to. */
  readonly opensFor?: string;
}

/** What a gateway makes of a datagram. */
export function tryDatagram(
  scheme: Scheme,
  payload: Uint8Array,
  { observedSource, nowMs }: Pick<SpaVector, 'observedSource' | 'nowMs'>,
): Outcome {
  const packet = datagram({ src: observedSource, port: KNOCK_PORT, at: nowMs, payload });
  const match = scheme.match(packet, NO_HISTORY);
  if (match === null) return { said: 'drop' };
  if (match.kind === 'reject') return { said: `drop ${match.reason}` };
  if (match.kind === 'duplicate') return { said: 'duplicate' };
  const services = match.services ?? assert.fail('an SPA knock names services');
  const access = new Access({
    clients: [{ name: match.client, services }],
    loopback: false,
    isOwn: () => false,
  });
  const verdict = access.authorize({ request: match, source: sourceOf(packet), timeMs: nowMs });
  if (!verdict.granted) return { said: `drop ${verdict.reason}`, request: match };
  return { said: 'accept', request: match, opensFor: verdict.source };
}

/** `expect`, as {@link tryDatagram} puts it. */
export function expected({ expect }: SpaVector): string {
  return expect === 'drop length' || expect === 'drop hint' ? 'drop' : expect;
}

/** What the request must say, from the vector's fields alone. */
export function requestOf({ fields }: SpaVector): object {
  const { suite, services, ms, seq, close, ttl } = fields;
  return {
    kind: 'request',
    client: suite === 1 ? 'psk' : 'ed',
    services: [...new Set(services)],
    counter: BigInt(ms) * 65_536n + BigInt(seq),
    ...(close ? { close } : {}),
    ...(ttl === 0 ? {} : { until: ms + ttl * 1000 }),
  };
}

/** A request in the words of {@link requestOf}, with its claim as text. */
export function plainRequest(request: KnockRequest): { request: object; claim: string | null } {
  const { claim, ...rest } = request;
  return { request: rest, claim: claim === undefined ? null : formatPrefix(claim) };
}

/** What the oracle needs to seal a vector again; random parts come from the datagram itself. */
export function oracleKnockOf(
  { keys }: SpaVectorFile,
  vector: SpaVector,
  { nonce, pad }: { readonly nonce: Buffer; readonly pad: Buffer },
): OracleKnock {
  const { fields, sealedWith = 'gatewayAccessKey' } = vector;
  return {
    ...fields,
    ...(vector.epoch === undefined ? {} : { epoch: vector.epoch }),
    accessKey: hex(keys[sealedWith]),
    key: hex(fields.suite === 1 ? keys.clientPsk : keys.ed25519Seed),
    gateway: keys.audience.name,
    length: vector.datagram.length / 2,
    r4: nonce.subarray(0, 4),
    r8: nonce.subarray(8),
    pad,
  };
}
