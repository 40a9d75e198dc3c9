// fwknop's hashes and the HMAC under each of them, against OpenSSL's own HMAC.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { HASH_NAMES, hashBytes, hashOf, HmacKey } from '../../lib/crypto/hashes.ts';

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
        const key = randomBytes(length + 1);
        const mac = new HmacKey(name, key, 300);
        for (const message of [randomBytes(length), randomBytes(299 - length)]) {
          assert.deepEqual(mac.of(message), createHmac(openssl, key).update(message).digest());
        }
      }
    });
  }

  it('take as much of the bytes as they are told, and refuse more than there is room for', () => {
    const mac = new HmacKey('sha256', Buffer.from('key'), 10);
    assert.deepEqual(mac.of(Buffer.from('0123456789abc'), 10), mac.of(Buffer.from('0123456789')));
    assert.throws(() => mac.of(Buffer.alloc(11)), new RangeError('message must be at most 10 bytes'));
  });

  it('have MD5 also where OpenSSL refuses it', () => {
    const script = `
      import crypto from 'node:crypto';
      import { syncBuiltinESMExports } from 'node:module';
      crypto.getFips = () => 1;
      crypto.hash = () => { throw new Error('digital envelope routines::unsupported'); };
      syncBuiltinESMExports();
      const { hashOf, HmacKey } = await import('./lib/crypto/hashes.ts');
      console.log(hashOf('md5', Buffer.from('abc')).toString('hex'));
      console.log(new HmacKey('md5', Buffer.from('Jefe'), 100).of(Buffer.from('what do ya want for nothing?')).toString('hex'));`;
    const args = ['--import', 'tsx', '--input-type=module', '-e', script];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    const expected = '900150983cd24fb0d6963f7d28e17f72\n750c783e6ab0b503eaa86e310a5db738\n';
    assert.equal(stdout, expected, stderr);
  });
});
