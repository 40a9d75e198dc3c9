// AES-256-CTR against the published vectors and against node-forge's AES block with the counting done by hand.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ctr } from '../../lib/crypto/cipher.ts';
import { oracleCtr } from '../support/spa-oracle.ts';

const hex = (text: string): Buffer => Buffer.from(text, 'hex');

describe('ctr', () => {
  it('gives the published result, both ways (SP 800-38A, F.5.5 and F.5.6)', () => {
    const key = hex('603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4');
    const nonce = hex('f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff');
    const plain = hex(
      '6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51' +
        '30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710',
    );
    const sealed = hex(
      '601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5' +
        '2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6',
    );
    assert.deepEqual(ctr(key, nonce, plain), sealed);
    assert.deepEqual(ctr(key, nonce, sealed), plain);
    assert.deepEqual(oracleCtr(key, nonce, plain), sealed);
  });

  it('counts in all 128 bits of the nonce', () => {
    const key = Buffer.alloc(32, 1);
    const zeros = Buffer.alloc(64);
    for (const nonce of ['f'.repeat(32), `00000000${'f'.repeat(24)}`, `${'0'.repeat(16)}${'f'.repeat(16)}`]) {
      assert.deepEqual(ctr(key, hex(nonce), zeros), oracleCtr(key, hex(nonce), zeros), nonce);
    }
  });

  it('agrees with the oracle for any key, nonce and length, and undoes itself', () => {
    const key = fc.uint8Array({ minLength: 32, maxLength: 32 });
    const nonce = fc.uint8Array({ minLength: 16, maxLength: 16 });
    fc.assert(
      fc.property(key, nonce, fc.uint8Array({ maxLength: 100 }), (secret, first, bytes) => {
        const sealed = ctr(secret, first, bytes);
        assert.equal(sealed.length, bytes.length);
        assert.deepEqual(sealed, oracleCtr(secret, first, bytes));
        assert.deepEqual(ctr(secret, first, sealed), Buffer.from(bytes));
      }),
    );
  });

  it('leaves what it is given as it was', () => {
    const bytes = Buffer.alloc(40, 3);
    ctr(Buffer.alloc(32), Buffer.alloc(16), bytes);
    assert.deepEqual(bytes, Buffer.alloc(40, 3));
  });
});
