// Which of some keys an HMAC is by: always the one that node:crypto says, and never another.

import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { HmacSieve } from '../../lib/crypto/hmac-sieve.ts';

const MOST = 409;
const macOf = (key: Uint8Array, message: Uint8Array): Buffer =>
  createHmac('sha256', key).update(message).digest();

describe('HmacSieve', () => {
  it('finds the key among keys of every length, for messages of every length', () => {
    const keys = Array.from({ length: 131 }, (_, length) => randomBytes(length));
    const sieve = new HmacSieve(keys, MOST);
    for (let length = 0; length <= MOST; length += 1) {
      const message = randomBytes(length);
      const place = length % keys.length;
      const mac = macOf(keys[place] ?? assert.fail(), message);
      assert.equal(sieve.find(Buffer.concat([message, randomBytes(3)]), length, mac), place);
      assert.equal(sieve.find(message, length, mac.subarray(0, 16)), place);
    }
  });

  it('finds none when a bit of anything is another', () => {
    const key = randomBytes(32);
    const sieve = new HmacSieve([randomBytes(32), key], MOST);
    const message = randomBytes(171);
    const mac = macOf(key, message);
    assert.equal(sieve.find(message, 171, mac), 1);
    for (let bit = 0; bit < 8 * mac.length; bit += 1) {
      assert.equal(sieve.find(message, 171, flipped(mac, bit)), -1);
      const half = mac.subarray(0, 16);
      if (bit < 8 * half.length) assert.equal(sieve.find(message, 171, flipped(half, bit)), -1);
    }
    for (let bit = 0; bit < 8 * message.length; bit += 7) {
      assert.equal(sieve.find(flipped(message, bit), 171, mac), -1);
    }
    assert.equal(sieve.find(message, 170, mac), -1);
    for (const length of [0, 4, 12, 15, 17, 28, 31])
      assert.equal(sieve.find(message, 171, mac.subarray(0, length)), -1, `${length}`);
    assert.equal(sieve.find(message, 171, Buffer.concat([mac, mac])), -1);
    assert.equal(sieve.find(message, 171, mac.subarray(16)), -1);
    assert.equal(new HmacSieve([], MOST).find(message, 171, mac), -1);
  });

  it('refuses a message that is longer than it was told', () => {
    const sieve = new HmacSieve([randomBytes(8)], 40);
    assert.throws(() => sieve.find(Buffer.alloc(120), 120, Buffer.alloc(32)), RangeError);
  });
});

function flipped(bytes: Buffer, bit: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return copy;
}
