// The hashes that a packet of fwknop may be made with (protocols/fwknop.md 1.2 and 1.4), and HMAC (RFC 2104) under each
// of them, by node:crypto. The names are fwknop's own.

import { getFips, hash } from 'node:crypto';
import { md5 } from './legacy.ts';

interface HashTraits {
  readonly openssl: string;
  readonly bytes: number;
  readonly blockBytes: number;
}

/** A hash by fwknop's name for it. */
export type HashName = 'md5' | 'sha1' | 'sha256' | 'sha384' | 'sha512' | 'sha3_256' | 'sha3_512';

const TRAITS: Readonly<Record<HashName, HashTraits>> = {
  md5: { openssl: 'md5', bytes: 16, blockBytes: 64 },
  sha1: { openssl: 'sha1', bytes: 20, blockBytes: 64 },
  sha256: { openssl: 'sha256', bytes: 32, blockBytes: 64 },
  sha384: { openssl: 'sha384', bytes: 48, blockBytes: 128 },
  sha512: { openssl: 'sha512', bytes: 64, blockBytes: 128 },
  sha3_256: { openssl: 'sha3-256', bytes: 32, blockBytes: 136 },
  sha3_512: { openssl: 'sha3-512', bytes: 64, blockBytes: 72 },
};

/** All of them; where two have one length, the first is the one that fwknop tries first. */
export const HASH_NAMES = Object.keys(TRAITS) as readonly HashName[];

/** How many bytes the hash has. */
export function hashBytes(name: HashName): number {
  return TRAITS[name].bytes;
}

/** The hash of `message`. */
export function hashOf(name: HashName, message: Uint8Array): Buffer {
  // OpenSSL in FIPS mode refuses MD5.
  if (name === 'md5' && getFips() === 1) return md5(message);
  return hash(TRAITS[name].openssl, message, 'buffer');
}

/** What the blocks of a key are filled up with. */
export const INNER_PAD = 0x36;
export const OUTER_PAD = 0x5c;

/** A key as a whole block of the hash, each byte changed by `pad`. */
export function keyBlock(name: HashName, key: Uint8Array, pad: number): Buffer {
  const { blockBytes } = TRAITS[name];
  const block = Buffer.alloc(blockBytes);
  block.set(key.length > blockBytes ? hashOf(name, key) : key);
  return Buffer.from(block.map((byte) => byte ^ pad));
}

/**
 * HMAC under one key, as two one-shot hashes over buffers that are used again: junk from strangers is held against the
 * key of every client, and createHmac takes half as long again.
 */
export class HmacKey {
  readonly hash: HashName;
  readonly #blockBytes: number;
  readonly #inner: Buffer;
  readonly #outer: Buffer;

  /** For messages of at most `mostBytes`. */
  constructor(name: HashName, key: Uint8Array, mostBytes: number) {
    const { bytes, blockBytes } = TRAITS[name];
    this.hash = name;
    this.#blockBytes = blockBytes;
    this.#inner = Buffer.alloc(blockBytes + mostBytes);
    this.#outer = Buffer.alloc(blockBytes + bytes);
    this.#inner.set(keyBlock(name, key, INNER_PAD));
    this.#outer.set(keyBlock(name, key, OUTER_PAD));
  }

  /** The HMAC of `bytes[0..end)`. @throws RangeError when that is more than the constructor was told */
  of(bytes: Buffer, end = bytes.length): Buffer {
    const length = this.#blockBytes + end;
    if (length > this.#inner.length) {
      // Cut off, it would be the MAC of another message.
      throw new RangeError(`message must be at most ${this.#inner.length - this.#blockBytes} bytes`);
    }
    bytes.copy(this.#inner, this.#blockBytes, 0, end);
    this.#outer.set(hashOf(this.hash, this.#inner.subarray(0, length)), this.#blockBytes);
    return hashOf(this.hash, this.#outer);
  }
}
