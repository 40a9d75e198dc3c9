// The hashes that a packet of fwknop may be made with (protocols/fwknop.md 1.2 and 1.4), and HMAC (RFC 2104) under each
// of them, by node:crypto. The names are fwknop's own.

import { getFips, hash } from 'node:crypto';
import { md5 } from './legacy.ts';
import { equalBytes } from './mac.ts';

interface HashTraits {
  readonly openssl: string;
  readonly bytes: number;
  readonly blockBytes: number;
}

/** What the blocks of a key are changed by. */
const INNER_PAD = 0x36;
const OUTER_PAD = 0x5c;

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

/** HMAC (RFC 2104) of `message`. */
export function hmacOf(name: HashName, key: Uint8Array, message: Uint8Array): Buffer {
  const inner = hashOf(name, Buffer.concat([keyBlock(name, key, INNER_PAD), message]));
  return hashOf(name, Buffer.concat([keyBlock(name, key, OUTER_PAD), inner]));
}

/**
 * Keys under one hash, and which of them a MAC is by: as two one-shot hashes each, over buffers that are used again, since
 * junk from strangers is held against the key of every client, and createHmac takes twice as long.
 */
export class HmacKeys {
  readonly #hash: HashName;
  readonly #blockBytes: number;
  readonly #blocks: readonly (readonly [inner: Buffer, outer: Buffer])[];
  /** A key's block, and what is hashed behind it. */
  readonly #inner: Buffer;
  readonly #outer: Buffer;
  readonly #mac: Buffer;

  /** For messages of at most `mostBytes`. */
  constructor(name: HashName, keys: readonly Uint8Array[], mostBytes: number) {
    const { bytes, blockBytes } = TRAITS[name];
    this.#hash = name;
    this.#blockBytes = blockBytes;
    this.#blocks = keys.map((key) => [keyBlock(name, key, INNER_PAD), keyBlock(name, key, OUTER_PAD)]);
    this.#inner = Buffer.alloc(blockBytes + mostBytes);
    this.#outer = Buffer.alloc(blockBytes + bytes);
    this.#mac = Buffer.alloc(bytes);
  }

  /**
   * The place of the key by which `mac` is the HMAC of `bytes[0..end)`, or -1.
   *
   * @throws RangeError when that is more than the constructor was told
   */
  find(bytes: Buffer, end: number, mac: Uint8Array): number {
    const length = this.#blockBytes + end;
    if (length > this.#inner.length) {
      // Cut off, it would be the MAC of another message.
      throw new RangeError(`message must be at most ${this.#inner.length - this.#blockBytes} bytes`);
    }
    bytes.copy(this.#inner, this.#blockBytes, 0, end);
    const message = this.#inner.subarray(0, length);
    return this.#blocks.findIndex(([inner, outer]) => {
      this.#inner.set(inner);
      this.#outer.set(outer);
      this.#outer.write(textOf(this.#hash, message), this.#blockBytes, 'latin1');
      this.#mac.write(textOf(this.#hash, this.#outer), 'latin1');
      return equalBytes(this.#mac, mac);
    });
  }
}

/** A key as a whole block of the hash, each byte changed by `pad`. */
function keyBlock(name: HashName, key: Uint8Array, pad: number): Buffer {
  const { blockBytes } = TRAITS[name];
  const block = Buffer.alloc(blockBytes);
  block.set(key.length > blockBytes ? hashOf(name, key) : key);
  return Buffer.from(block.map((byte) => byte ^ pad));
}

/** The hash, a character for each byte: to make a Buffer takes as long as the hashing. */
function textOf(name: HashName, message: Uint8Array): string {
  if (name === 'md5' && getFips() === 1) return md5(message).toString('latin1');
  return hash(TRAITS[name].openssl, message, 'binary');
}
