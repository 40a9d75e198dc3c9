// The key schedule of SPA (protocols/spa.md, "Keys" and "Hint"): what comes out of the gateway's access key and of a
// client's shared key, and the short ids by which a knock names its gateway, its client and the services.

import { hkdf, hmac, label, LabelledMac, sha256 } from '../crypto/mac.ts';

/** Secrets of this scheme have this many bytes. */
export const SPA_KEY_BYTES = 32;
/** How long one hint is sent. */
export const EPOCH_MS = 3_600_000;
/** The longest datagram: no MAC of this scheme covers more. */
export const MOST_BYTES = 480;
const ID_BYTES = 8;

/** What the gateway's access key becomes: it keeps outsiders out of the parser, and authorises nobody. */
export interface AccessKey {
  /** AES-256-CTR. */
  readonly encryption: Buffer;
  /** T1. */
  readonly mac: LabelledMac;
  readonly hint: Buffer;
}

/** What a client's shared key becomes (suite 1). */
export interface SharedKey {
  readonly id: Buffer;
  /** AES-256-CTR. */
  readonly encryption: Buffer;
  /** T2. */
  readonly mac: LabelledMac;
}

/** @throws TypeError, RangeError for anything but 32 bytes */
export function accessKeyOf(secret: Uint8Array): AccessKey {
  requireKey('access key', secret);
  return {
    encryption: hkdf(secret, 'portknock/1 outer enc', SPA_KEY_BYTES),
    mac: new LabelledMac(
      hkdf(secret, 'portknock/1 outer mac', SPA_KEY_BYTES),
      'portknock/1 gateway tag',
      MOST_BYTES,
    ),
    hint: hkdf(secret, 'portknock/1 outer hint', SPA_KEY_BYTES),
  };
}

/** @throws TypeError, RangeError for anything but 32 bytes */
export function sharedKeyOf(secret: Uint8Array): SharedKey {
  requireKey('secret', secret);
  return {
    id: hkdf(secret, 'portknock/1 client id', ID_BYTES),
    encryption: hkdf(secret, 'portknock/1 client enc', SPA_KEY_BYTES),
    mac: new LabelledMac(
      hkdf(secret, 'portknock/1 client mac', SPA_KEY_BYTES),
      'portknock/1 client tag',
      MOST_BYTES,
    ),
  };
}

/** The client id of an SSH public key: the start of the fingerprint that `ssh-keygen -l` prints. */
export function signerIdOf(keyBlob: Uint8Array): Buffer {
  return sha256(keyBlob).subarray(0, ID_BYTES);
}

/** The audience of the gateway with this name. */
export function audienceOf(gateway: string): Buffer {
  return sha256(Buffer.concat([label('portknock/1 audience'), Buffer.from(gateway)])).subarray(0, ID_BYTES);
}

/** The id of the service with this name. */
export function serviceIdOf(name: string): number {
  return sha256(Buffer.concat([label('portknock/1 service'), Buffer.from(name)])).readUInt32BE(0);
}

/** The hint of an epoch, as int32. */
export function hintOf({ hint }: AccessKey, epoch: number): number {
  const place = Buffer.alloc(8);
  place.writeBigUInt64BE(BigInt(epoch));
  return hmac('sha256', hint, Buffer.concat([label('portknock/1 hint'), place])).readInt32BE(0);
}

/** The hints of the epochs before, at and after `timeMs`. */
export function hintsAround(keys: readonly AccessKey[], timeMs: number): readonly number[] {
  const epoch = Math.floor(timeMs / EPOCH_MS);
  return keys.flatMap((key) => [-1, 0, 1].map((step) => hintOf(key, Math.max(0, epoch + step))));
}

function requireKey(name: string, secret: Uint8Array): void {
  if (!(secret instanceof Uint8Array)) throw new TypeError(`${name} must be a Uint8Array`);
  if (secret.length === SPA_KEY_BYTES) return;
  throw new RangeError(`${name} must have ${SPA_KEY_BYTES} bytes, got ${secret.length}`);
}
