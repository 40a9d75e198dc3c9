// Packets of fwknop and a gateway for them, for the tests of what comes after the vectors.

import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { formatBareBase64 } from '../../lib/base64.ts';
import { hmacOf, type HashName } from '../../lib/crypto/hashes.ts';
import { fwknop, type FwknopOptions } from '../../lib/scheme/fwknop.ts';
import { wrap, type EncryptionMode } from '../../lib/scheme/fwknop-cipher.ts';
import type { FwknopClient } from '../../lib/scheme/fwknop-clients.ts';
import { encodeFields, type Fields } from '../../lib/scheme/fwknop-format.ts';
import { sealFields, type FwknopCipher } from '../../lib/scheme/fwknop-seal.ts';
import type { Match, Scheme } from '../../lib/scheme/scheme.ts';
import { NO_HISTORY } from './history.ts';
import { datagram, NOW } from './packets.ts';

/** A packet of the real client, and what it made it of. */
export interface FwknopVector {
  readonly name: string;
  readonly packet: string;
  readonly salt: string;
  readonly iv: string;
  readonly aeskey: string;
  readonly plain: string;
  readonly key: string;
  readonly hmacKey: string | null;
  readonly hmacDigest: HashName;
  readonly mode: EncryptionMode;
  readonly digest: HashName;
  readonly fields: Fields;
}

export const VECTORS = (
  JSON.parse(readFileSync('test/vectors/fwknop.json', 'utf8')) as {
    readonly vectors: readonly FwknopVector[];
  }
).vectors;

export const FWKNOP_PORT = 62_201;
export const SOURCE = '198.51.100.7';
export const KEY = 'a key of 21 characters';
export const HMAC_KEY = 'an HMAC key of some length';
export const CIPHER: FwknopCipher = {
  key: Buffer.from(KEY),
  mode: 'cbc',
  hmac: { key: Buffer.from(HMAC_KEY), digest: 'sha256' },
  digest: 'sha256',
};
/** A client that is fit for {@link CIPHER}. */
export const PHONE: FwknopClient = { key: KEY, hmacKey: HMAC_KEY };
const SERVICES = {
  ssh: { port: 22 },
  dns: { protocol: 'udp', port: 53 },
  nas: { port: 2222, to: '10.0.0.5:22' },
} as const;

/** A gateway with the client `phone`. */
export function gatewayOf(options: Partial<FwknopOptions> = {}): Scheme {
  return fwknop({ services: SERVICES, clients: { phone: PHONE }, ...options });
}

/** A gateway whose client `phone` is {@link PHONE} but for this. */
export function phoneOf(change: Partial<FwknopClient>): Scheme {
  return gatewayOf({ clients: { phone: { ...PHONE, ...change } } });
}

/** The client of a vector. */
export function clientOf({ key, hmacKey, hmacDigest, mode }: FwknopVector): FwknopClient {
  return { key, hmacKey, hmacDigest, encryptionMode: mode, nat: true };
}

/** A packet that asks for ssh, but for what is said otherwise. */
export function knockOf(fields: Partial<Fields> = {}, cipher: Partial<FwknopCipher> = {}): Buffer {
  return sealFields(fieldsOf(fields), { ...CIPHER, ...cipher }, randomBytes(8));
}

/** A packet in CTR that is right as far as its HMAC, whose inner digest is that of another user. */
export function withWrongDigest(fields: Partial<Fields> = {}): Buffer {
  const salt = randomBytes(8);
  const plain = encodeFields(fieldsOf(fields), 'sha256').toString('latin1').replace('YWxpY2U', 'YWxpY2E');
  const text = Buffer.from(wrap(Buffer.from(plain), { mode: 'ctr', key: CIPHER.key, salt }));
  const mac = hmacOf('sha256', Buffer.from(HMAC_KEY), text);
  return Buffer.from(text.toString('latin1', 10) + formatBareBase64(mac));
}

export function fieldsOf(fields: Partial<Fields> = {}): Fields {
  return {
    ...{ rand: '0123456789012345', user: 'alice', timeSeconds: NOW / 1000, version: '3.0.0', type: 1 },
    ...{ message: `${SOURCE},tcp/22`, nat: null, timeoutSeconds: null },
    ...fields,
  };
}

/** What a gateway makes of a payload. */
export function arrive(
  gateway: Scheme,
  payload: Uint8Array | string,
  { at = NOW, src = SOURCE, port = FWKNOP_PORT } = {},
): Match | null {
  return gateway.match(datagram({ payload: Buffer.from(payload), src, port, at }), NO_HISTORY);
}

/** A verdict as words: `request ssh dns`, `port-refused phone tcp/23`, `ignored`. */
export function said(match: Match | null): string {
  if (match === null) return 'ignored';
  if (match.kind === 'duplicate') return match.kind;
  if (match.kind === 'request') return `request ${match.services?.join(' ') ?? ''}`;
  return [match.reason, match.client, match.detail].filter((part) => part !== undefined).join(' ');
}
