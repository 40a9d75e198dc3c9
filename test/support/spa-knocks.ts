// SPA knocks and a gateway for them, for the tests of what comes after the vectors: sealed by the library, and changed
// by somebody who has the access key and nothing else.

import { createPrivateKey, sign } from 'node:crypto';
import { parsePrefix, type Prefix } from '../../lib/address.ts';
import { ctr } from '../../lib/crypto/cipher.ts';
import { spa, type SpaOptions } from '../../lib/scheme/spa.ts';
import type { KnockHistory, Match, Scheme } from '../../lib/scheme/scheme.ts';
import { accessKeyOf, sharedKeyOf } from '../../lib/scheme/spa-keys.ts';
import { sealSpa, type Lots, type Sender } from '../../lib/scheme/spa-seal.ts';
import { NO_HISTORY } from './history.ts';
import { datagram, NOW } from './packets.ts';
import { oracleClientId, oraclePublicLine } from './spa-oracle.ts';

export const ACCESS = Buffer.alloc(32, 'ACCESS-KEY');
export const GATEWAY = 'gw.example';
export const PSK = Buffer.alloc(32, 'SHARED-KEY');
export const SEED = Buffer.alloc(32, 'SIGNING-KEY');
export const SPA_PORT = 62_201;

/** A client of the name `suite1` and one of the name `suite2`. */
export const CLIENTS = { suite1: { secret: PSK }, suite2: { publicKey: oraclePublicLine(SEED) } };

export interface KnockOptions {
  readonly suite?: 1 | 2;
  /** The shared key or the seed; those of {@link CLIENTS} unless given. */
  readonly key?: Uint8Array;
  readonly access?: Uint8Array;
  readonly gateway?: string;
  readonly ms?: number;
  readonly seq?: number;
  readonly services?: readonly string[];
  readonly bind?: 'observed' | 'exact' | 'prefix';
  /** `ADDRESS` or `ADDRESS/LENGTH`. */
  readonly claim?: string;
  readonly ttl?: number;
  readonly close?: boolean;
  readonly lots?: Lots;
}

export function knock(options: KnockOptions = {}): Promise<Buffer> {
  const { suite = 1, key, access = ACCESS, gateway = GATEWAY, ms = NOW, seq = 0 } = options;
  const { services = ['ssh'], claim, ttl = 0, close = false, lots } = options;
  const prefix = claim === undefined ? null : prefixOf(claim);
  const bind = options.bind ?? (prefix === null ? 'observed' : claim?.includes('/') ? 'prefix' : 'exact');
  const sealing = {
    accessKey: accessKeyOf(access),
    gateway,
    sender: senderOf(suite, key),
    counter: counterOf(ms, seq),
    services,
    bind,
    claim: prefix,
    ttlSeconds: ttl,
    close,
  };
  return lots === undefined ? sealSpa(sealing) : sealSpa(sealing, lots);
}

export function counterOf(ms: number, seq = 0): bigint {
  return (BigInt(ms) << 16n) | BigInt(seq);
}

export function senderOf(suite: 1 | 2, key: Uint8Array = suite === 1 ? PSK : SEED): Sender {
  if (suite === 1) return { suite, key: sharedKeyOf(key) };
  const der = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), key]);
  const secret = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  return { suite, id: oracleClientId(2, key), sign: (blob) => Promise.resolve(sign(null, blob, secret)) };
}

/** The datagram with its inner bytes changed, and encrypted and tagged again. */
export function insider(
  bytes: Uint8Array,
  change: (plain: Buffer, nonce: Buffer) => void,
  access: Uint8Array = ACCESS,
): Buffer {
  const { encryption, mac } = accessKeyOf(access);
  const nonce = Buffer.from(bytes.subarray(0, 16));
  const plain = ctr(encryption, nonce, bytes.subarray(32));
  change(plain, nonce);
  const sealed = ctr(encryption, nonce, plain);
  const tag = mac.add(nonce, 0, nonce.length).add(sealed, 0, sealed.length).tag().subarray(0, 16);
  return Buffer.concat([nonce, tag, sealed]);
}

/** The bytes with one changed. */
export function flipped(bytes: Uint8Array, at: number, mask = 1): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ mask;
  return copy;
}

export function gatewayOf(options: Partial<SpaOptions> = {}): Scheme {
  return spa({
    gateway: GATEWAY,
    accessKeys: [ACCESS],
    services: ['ssh', 'admin'],
    clients: CLIENTS,
    ...options,
  });
}

export interface ArrivalOptions {
  readonly src?: string;
  readonly at?: number;
  readonly port?: number;
  readonly history?: KnockHistory;
}

/** What the scheme makes of a datagram. */
export function arrive(
  scheme: Pick<Scheme, 'match'>,
  payload: Uint8Array,
  options: ArrivalOptions = {},
): Match | null {
  const { port = SPA_PORT, history = NO_HISTORY, ...rest } = options;
  return scheme.match(datagram({ port, payload, ...rest }), history);
}

/** In a word: `request`, `duplicate`, a reason, or `silence`. */
export function said(match: Match | null): string {
  if (match === null) return 'silence';
  return match.kind === 'reject' ? match.reason : match.kind;
}

function prefixOf(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (prefix === null) throw new TypeError(`not a prefix: ${text}`);
  return prefix;
}
