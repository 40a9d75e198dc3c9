// Which of some keys an HMAC-SHA256 (RFC 2104, FIPS 180-4) is by, for junk that has to be held against every one of them.
// A call of node:crypto costs more than the hashing of so little. Here the key's own blocks are hashed once and for all,
// and the message's schedule, which no key has a part in, once for all keys. Whatever fits is looked at again by
// node:crypto, so that a mistake here can only refuse.

import { equalBytes } from './mac.ts';
import { HmacKey, INNER_PAD, keyBlock, OUTER_PAD } from './hashes.ts';

const BLOCK_BYTES = 64;
const WORDS = 8;
const ROUNDS = 64;
const LENGTH_BYTES = 8;

/** The first 32 bits of the fractional parts of the roots of the first primes (FIPS 180-4, 4.2.2 and 5.3.3). */
const K = Int32Array.from(firstPrimes(ROUNDS), (prime) => fraction(Math.cbrt(prime)));
const START = Int32Array.from(firstPrimes(WORDS), (prime) => fraction(Math.sqrt(prime)));

/** Keys of HMAC-SHA256. */
export class HmacSieve {
  readonly #keys: readonly HmacKey[];
  /** For each key the state after its inner and its outer block. */
  readonly #inner: Int32Array;
  readonly #outer: Int32Array;
  readonly #message: Buffer;
  /** Schedule and constants of the message's blocks, added up. */
  readonly #schedule: Int32Array;
  readonly #last = new Int32Array(ROUNDS);
  readonly #state = new Int32Array(WORDS);
  readonly #said = new Int32Array(WORDS);

  /** For messages of at most `mostBytes`. */
  constructor(keys: readonly Uint8Array[], mostBytes: number) {
    const blocks = blocksOf(mostBytes);
    this.#keys = keys.map((key) => new HmacKey('sha256', key, mostBytes));
    this.#inner = new Int32Array(keys.length * WORDS);
    this.#outer = new Int32Array(keys.length * WORDS);
    this.#message = Buffer.alloc(blocks * BLOCK_BYTES);
    this.#schedule = new Int32Array(blocks * ROUNDS);
    for (const [i, key] of keys.entries()) {
      this.#inner.set(stateAfter(keyBlock('sha256', key, INNER_PAD)), i * WORDS);
      this.#outer.set(stateAfter(keyBlock('sha256', key, OUTER_PAD)), i * WORDS);
    }
  }

  /**
   * The place of the key by which `mac` is the HMAC of `bytes[0..end)`, or the first half of it (RFC 2104, section 5);
   * -1 for any other.
   *
   * @throws RangeError as {@link HmacKey.of}
   */
  find(bytes: Buffer, end: number, mac: Buffer): number {
    const words = mac.length / 4;
    if (words !== WORDS && words !== WORDS / 2) return -1;
    for (let i = 0; i < words; i += 1) this.#said[i] = mac.readInt32BE(4 * i);
    const blocks = this.#prepare(bytes, end);
    for (let i = 0; i < this.#keys.length; i += 1) {
      if (!this.#fits(i, blocks, words)) continue;
      const found = this.#keys[i]?.of(bytes, end).subarray(0, mac.length);
      if (found !== undefined && equalBytes(found, mac)) return i;
    }
    return -1;
  }

  #prepare(bytes: Buffer, end: number): number {
    const blocks = blocksOf(end);
    const length = blocks * BLOCK_BYTES;
    if (length > this.#message.length) throw new RangeError(`message is too long: ${end} bytes`);
    bytes.copy(this.#message, 0, 0, end);
    this.#message.fill(0, end, length);
    this.#message[end] = 0x80;
    this.#message.writeUInt32BE((BLOCK_BYTES + end) * 8, length - 4);
    for (let block = 0; block < blocks; block += 1) {
      const at = block * ROUNDS;
      for (let i = 0; i < 16; i += 1) {
        this.#schedule[at + i] = this.#message.readInt32BE(block * BLOCK_BYTES + 4 * i);
      }
      extend(this.#schedule, at);
    }
    return blocks;
  }

  /** Whether the first words are those that were said, in time that depends on nothing else. */
  #fits(key: number, blocks: number, words: number): boolean {
    const state = this.#state;
    const last = this.#last;
    for (let i = 0; i < WORDS; i += 1) state[i] = this.#inner[key * WORDS + i] ?? 0;
    for (let block = 0; block < blocks; block += 1) compress(state, this.#schedule, block * ROUNDS);
    for (let i = 0; i < WORDS; i += 1) {
      last[i] = state[i] ?? 0;
      state[i] = this.#outer[key * WORDS + i] ?? 0;
    }
    last.fill(0, WORDS, 16);
    last[WORDS] = 0x80 << 24;
    last[15] = (BLOCK_BYTES + 4 * WORDS) * 8;
    extend(last, 0);
    compress(state, last, 0);
    let other = 0;
    for (let i = 0; i < words; i += 1) other |= (state[i] ?? 0) ^ (this.#said[i] ?? 0);
    return other === 0;
  }
}

/** Makes the schedule of the 16 words at `at`, with the constants added. */
function extend(words: Int32Array, at: number): void {
  for (let i = at + 16; i < at + ROUNDS; i += 1) {
    const w15 = words[i - 15] ?? 0;
    const w2 = words[i - 2] ?? 0;
    const s0 = ((w15 >>> 7) | (w15 << 25)) ^ ((w15 >>> 18) | (w15 << 14)) ^ (w15 >>> 3);
    const s1 = ((w2 >>> 17) | (w2 << 15)) ^ ((w2 >>> 19) | (w2 << 13)) ^ (w2 >>> 10);
    words[i] = ((words[i - 16] ?? 0) + s0 + (words[i - 7] ?? 0) + s1) | 0;
  }
  for (let i = 0; i < ROUNDS; i += 1) words[at + i] = ((words[at + i] ?? 0) + (K[i] ?? 0)) | 0;
}

/** One block into the state. */
function compress(state: Int32Array, schedule: Int32Array, at: number): void {
  let a = state[0] ?? 0;
  let b = state[1] ?? 0;
  let c = state[2] ?? 0;
  let d = state[3] ?? 0;
  let e = state[4] ?? 0;
  let f = state[5] ?? 0;
  let g = state[6] ?? 0;
  let h = state[7] ?? 0;
  // Eight rounds a turn: after as many every letter has its own value again, and none is moved.
  for (let i = at; i < at + ROUNDS; i += WORDS) {
    h = (h + sum1(e) + (g ^ (e & (f ^ g))) + (schedule[i] ?? 0)) | 0;
    d = (d + h) | 0;
    h = (h + sum0(a) + ((a & b) | (c & (a | b)))) | 0;
    g = (g + sum1(d) + (f ^ (d & (e ^ f))) + (schedule[i + 1] ?? 0)) | 0;
    c = (c + g) | 0;
    g = (g + sum0(h) + ((h & a) | (b & (h | a)))) | 0;
    f = (f + sum1(c) + (e ^ (c & (d ^ e))) + (schedule[i + 2] ?? 0)) | 0;
    b = (b + f) | 0;
    f = (f + sum0(g) + ((g & h) | (a & (g | h)))) | 0;
    e = (e + sum1(b) + (d ^ (b & (c ^ d))) + (schedule[i + 3] ?? 0)) | 0;
    a = (a + e) | 0;
    e = (e + sum0(f) + ((f & g) | (h & (f | g)))) | 0;
    d = (d + sum1(a) + (c ^ (a & (b ^ c))) + (schedule[i + 4] ?? 0)) | 0;
    h = (h + d) | 0;
    d = (d + sum0(e) + ((e & f) | (g & (e | f)))) | 0;
    c = (c + sum1(h) + (b ^ (h & (a ^ b))) + (schedule[i + 5] ?? 0)) | 0;
    g = (g + c) | 0;
    c = (c + sum0(d) + ((d & e) | (f & (d | e)))) | 0;
    b = (b + sum1(g) + (a ^ (g & (h ^ a))) + (schedule[i + 6] ?? 0)) | 0;
    f = (f + b) | 0;
    b = (b + sum0(c) + ((c & d) | (e & (c | d)))) | 0;
    a = (a + sum1(f) + (h ^ (f & (g ^ h))) + (schedule[i + 7] ?? 0)) | 0;
    e = (e + a) | 0;
    a = (a + sum0(b) + ((b & c) | (d & (b | c)))) | 0;
  }
  state[0] = ((state[0] ?? 0) + a) | 0;
  state[1] = ((state[1] ?? 0) + b) | 0;
  state[2] = ((state[2] ?? 0) + c) | 0;
  state[3] = ((state[3] ?? 0) + d) | 0;
  state[4] = ((state[4] ?? 0) + e) | 0;
  state[5] = ((state[5] ?? 0) + f) | 0;
  state[6] = ((state[6] ?? 0) + g) | 0;
  state[7] = ((state[7] ?? 0) + h) | 0;
}

function sum0(x: number): number {
  return ((x >>> 2) | (x << 30)) ^ ((x >>> 13) | (x << 19)) ^ ((x >>> 22) | (x << 10));
}

function sum1(x: number): number {
  return ((x >>> 6) | (x << 26)) ^ ((x >>> 11) | (x << 21)) ^ ((x >>> 25) | (x << 7));
}

/** The state after one block that stands at the beginning. */
function stateAfter(block: Buffer): Int32Array {
  const words = new Int32Array(ROUNDS);
  for (let i = 0; i < 16; i += 1) words[i] = block.readInt32BE(4 * i);
  extend(words, 0);
  const state = Int32Array.from(START);
  compress(state, words, 0);
  return state;
}

/** How many blocks come behind the key's own. */
function blocksOf(messageBytes: number): number {
  return Math.ceil((messageBytes + 1 + LENGTH_BYTES) / BLOCK_BYTES);
}

function firstPrimes(count: number): number[] {
  const primes: number[] = [];
  for (let n = 2; primes.length < count; n += 1) {
    if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  }
  return primes;
}

/** The first 32 bits behind the point, of which a double has 53 in all. */
function fraction(root: number): number {
  return Math.floor((root - Math.floor(root)) * 2 ** 32) | 0;
}
