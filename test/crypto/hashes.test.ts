// fwknop's hashes and the HMAC under each of them, against OpenSSL's own HMAC.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { HASH_NAMES, hashBytes, hashOf, HmacKeys, hmacOf } from '../../lib/crypto/hashes.ts';

describe('the hashes of fwknop', () => {
  it('are seven', () => {
    assert.deepEqual(HASH_NAMES, ['md5', 'sha1', 'sha256', 'sha384', 'sha512', 'sha3_256', 'sha3_512']);
  });

  for (const name of HASH_NAMES) {
    const openssl = name.replace('_', '-');

    it(`${name} is OpenSSL's, of the length it says`, () => {
      const message = randomBytes(100);
      assert.deepEqual(hashOf(name, message), createHash(openssl).update(message).digest());
      assert.equal(hashOf(name, message).length, hashBytes(name));
    });

    it(`HMAC under ${name} is OpenSSL's, for every length of key and message, over and over`, () => {
      for (let length = 0; length < 300; length += 7) {
        const keys = [randomBytes(length + 1), randomBytes(300 - length), randomBytes(8)];
        const macs = new HmacKeys(name, keys, 300);
        for (const [place, key] of keys.entries())
          for (const message of [randomBytes(length), randomBytes(299 - length)]) {
            const mac = createHmac(openssl, key).update(message).digest();
            assert.deepEqual(hmacOf(name, key, message), mac);
            assert.equal(macs.find(message, message.length, mac), place);
          }
      }
    });
  }

  it('find no key for a MAC when a bit of anything is another, or there is more or less of it', () => {
    const key = randomBytes(32);
    const macs = new HmacKeys('sha256', [randomBytes(32), key], 300);
    const message = randomBytes(171);
    const mac = hmacOf('sha256', key, message);
    assert.equal(macs.find(Buffer.concat([message, randomBytes(3)]), 171, mac), 1);
    for (let bit = 0; bit < 8 * mac.length; bit += 1)
      assert.equal(macs.find(message, 171, flipped(mac, bit)), -1);
    for (let bit = 0; bit < 8 * message.length; bit += 7)
      assert.equal(macs.find(flipped(message, bit), 171, mac), -1);
    assert.equal(macs.find(message, 170, mac), -1);
    for (const length of [0, 16, 31]) assert.equal(macs.find(message, 171, mac.subarray(0, length)), -1);
    assert.equal(macs.find(message, 171, Buffer.concat([mac, mac])), -1);
    assert.equal(new HmacKeys('sha256', [], 300).find(message, 171, mac), -1);
  });

  it('refuse more than there is room for', () => {
    const macs = new HmacKeys('sha256', [Buffer.from('key')], 10);
    const message = Buffer.from('0123456789a');
    assert.equal(macs.find(message, 10, hmacOf('sha256', Buffer.from('key'), message.subarray(0, 10))), 0);
    assert.throws(
      () => macs.find(message, 11, Buffer.alloc(32)),
      new RangeError('message must be at most 10 bytes'),
    );
  });

  it('have MD5 also where OpenSSL refuses it', () => {
    const script = `
      import crypto from 'node:crypto';
      import { syncBuiltinESMExports } from 'node:module';
      crypto.getFips = () => 1;
      crypto.hash = () => { throw new Error('digital envelope routines::unsupported'); };
      syncBuiltinESMExports();
      const { hashOf, HmacKeys, hmacOf } = await import('./lib/crypto/hashes.ts');
      console.log(hashOf('md5', Buffer.from('abc')).toString('hex'));
      const [key, message] = ['Jefe', 'what do ya want for nothing?'].map((text) => Buffer.from(text));
      const mac = hmacOf('md5', key, message);
      console.log(mac.toString('hex'), new HmacKeys('md5', [key], 100).find(message, message.length, mac));`;
    const args = ['--import', 'tsx', '--input-type=module', '-e', script];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    const expected = '900150983cd24fb0d6963f7d28e17f72\n750c783e6ab0b503eaa86e310a5db738 0\n';
    assert.equal(stdout, expected, stderr);
  });
});

function flipped(bytes: Buffer, bit: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return copy;
}
