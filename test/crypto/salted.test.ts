// The password encryption of `openssl enc`, against what real fwknop made and against the program itself.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { decryptSalted, encryptSalted, saltedKey, type AesMode } from '../../lib/crypto/salted.ts';
import { VECTORS } from '../support/fwknop-knocks.ts';

const MODES: readonly AesMode[] = ['cbc', 'ecb', 'cfb', 'ofb', 'ctr'];

describe('saltedKey', () => {
  for (const { name, key, salt, aeskey, iv, mode } of VECTORS) {
    it(`gives what fwknop made for ${name}`, () => {
      const password = Buffer.from(mode === 'legacy' ? key.padEnd(16, '0') : key);
      const made = saltedKey(password, Buffer.from(salt, 'hex'));
      assert.deepEqual([made.key.toString('hex'), made.iv.toString('hex')], [aeskey, iv]);
    });
  }
});

describe('encryptSalted and decryptSalted', () => {
  for (const mode of MODES) {
    it(`undo each other in ${mode}, for every length, and always pad`, () => {
      for (let length = 0; length < 50; length += 1) {
        const options = { mode, password: randomBytes(1 + (length % 32)), salt: randomBytes(8) };
        const plain = randomBytes(length);
        const ciphertext = encryptSalted(options, plain);
        assert.equal(ciphertext.length, 16 * (Math.floor(length / 16) + 1));
        assert.deepEqual(decryptSalted(options, ciphertext), plain);
      }
    });
  }

  for (const mode of ['cbc', 'ecb'] as const) {
    it(`make in ${mode} what openssl enc makes`, () => {
      const [password, salt, plain] = ['a pass phrase', randomBytes(8), 'some text, longer than a block'];
      const ours = encryptSalted({ mode, password: Buffer.from(password), salt }, Buffer.from(plain));
      const args = ['enc', `-aes-256-${mode}`, '-md', 'md5', '-S', salt.toString('hex')];
      const { stdout, stderr } = spawnSync('openssl', [...args, '-pass', `pass:${password}`], {
        input: plain,
      });
      // OpenSSL 3 leaves the header out when the salt is given.
      const theirs = stdout.subarray(0, 8).toString('latin1') === 'Salted__' ? stdout.subarray(16) : stdout;
      assert.deepEqual(theirs, ours, stderr.toString());
    });
  }

  it('refuse what is no whole blocks, or wrongly padded', () => {
    const options = { mode: 'ctr', password: Buffer.from('key'), salt: Buffer.alloc(8) } as const;
    const ciphertext = encryptSalted(options, Buffer.from('thirteen char'));
    const changed = (at: number, bits: number): Buffer => {
      const copy = Buffer.from(ciphertext);
      copy[at] = (copy[at] ?? 0) ^ bits;
      return copy;
    };
    assert.equal(decryptSalted(options, Buffer.alloc(0)), null);
    assert.equal(decryptSalted(options, ciphertext.subarray(1)), null);
    // The padding is 03 03 03: as 00, as 17, as 02 (too short a rest is still 02 only), and with another byte in it.
    for (const [at, bits] of [
      [15, 3],
      [15, 18],
      [14, 1],
      [13, 0xff],
    ] as const) {
      assert.equal(decryptSalted(options, changed(at, bits)), null, `${at} ${bits}`);
    }
  });
});
