// Keyed hashes of our wire formats, by node:crypto. Labels end in a zero byte, so that no label is the prefix of another.

import { createHmac, getFips, timingSafeEqual } from 'node:crypto';
import { hmacMd5 } from './legacy.ts';

/** The hash under an HMAC. */
export type Digest = 'sha256' | 'md5';

/** L(s) of the protocol texts: the ASCII bytes of `text` and one zero byte. */
export function label(text: string): Buffer {
  return Buffer.from(`${text}\0`, 'latin1');
}

/** HMAC (RFC 2104) of `message`. */
export function hmac(digest: Digest, key: Uint8Array, message: Uint8Array): Buffer {
  // OpenSSL in FIPS mode refuses MD5.
  if (digest === 'md5' && getFips() === 1) return hmacMd5(key, message);
  return createHmac(digest, key).update(message).digest();
}

/** Compares in time that depends on the lengths only. */
export function equalBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}
