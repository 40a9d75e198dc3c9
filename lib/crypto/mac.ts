// Keyed hashes of our wire formats, by node:crypto. Labels end in a zero byte, so that no label is the prefix of another.

import { createHmac, getFips, hash, hkdfSync, timingSafeEqual } from 'node:crypto';
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

/** SHA-256 (FIPS 180-4) of `message`. */
export function sha256(message: Uint8Array): Buffer {
  return hash('sha256', message, 'buffer');
}

/** HKDF-SHA256 (RFC 5869) without salt. */
export function hkdf(key: Uint8Array, info: string, length: number): Buffer {
  return Buffer.from(hkdfSync('sha256', key, '', info, length));
}

/** Compares in time that depends on the lengths only. */
export function equalBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}

const BLOCK_BYTES = 64;
const HASH_BYTES = 32;
const INNER_PAD = 0x36;
const OUTER_PAD = 0x5c;

/**
 * HMAC-SHA256 (RFC 2104) of messages that start with one label, as two one-shot hashes over buffers that are used
 * again: it decides on every datagram that a stranger sends, and createHmac takes half as long again.
 */
export class LabelledMac {
  readonly #inner: Buffer;
  readonly #outer = Buffer.alloc(BLOCK_BYTES + HASH_BYTES);
  readonly #tag = Buffer.alloc(HASH_BYTES);
  readonly #start: number;
  #end: number;

  /** For messages of at most `mostBytes` behind the label. */
  constructor(key: Uint8Array, text: string, mostBytes: number) {
    const prefix = label(text);
    this.#start = this.#end = BLOCK_BYTES + prefix.length;
    this.#inner = Buffer.alloc(this.#start + mostBytes);
    const block = key.length > BLOCK_BYTES ? sha256(key) : key;
    this.#inner.set(block);
    this.#outer.set(block);
    for (let i = 0; i < BLOCK_BYTES; i += 1) {
      this.#inner[i] = (this.#inner[i] ?? 0) ^ INNER_PAD;
      this.#outer[i] = (this.#outer[i] ?? 0) ^ OUTER_PAD;
    }
    this.#inner.set(prefix, BLOCK_BYTES);
  }

  /** Adds a part of the message. @throws RangeError when the message becomes longer than the constructor was told */
  add(bytes: Buffer, start: number, end: number): this {
    // Cut off, it would be the tag of another message.
    if (end - start > this.#inner.length - this.#end) {
      this.#end = this.#start;
      throw new RangeError(`message must be at most ${this.#inner.length - this.#start} bytes`);
    }
    this.#end += bytes.copy(this.#inner, this.#end, start, end);
    return this;
  }

  /** The tag of what was added since the last one. */
  tag(): Buffer {
    return Buffer.from(this.#compute());
  }

  /** Whether `said` is the first `tagBytes` of that tag: all of it, or what a format leaves of it (RFC 2104, section 5). */
  isTag(said: Uint8Array, tagBytes: 16 | 32): boolean {
    return equalBytes(this.#compute().subarray(0, tagBytes), said);
  }

  #compute(): Buffer {
    // As text: to make a Buffer for each hash takes as long as the hashing.
    this.#outer.write(hash('sha256', this.#inner.subarray(0, this.#end), 'binary'), BLOCK_BYTES, 'latin1');
    this.#end = this.#start;
    this.#tag.write(hash('sha256', this.#outer, 'binary'), 'latin1');
    return this.#tag;
  }
}
