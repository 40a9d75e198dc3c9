// Our keyed hashes against published vectors (RFC 4231, RFC 2202) and against node-forge, which shares no code with them.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { equalBytes, hmac, label } from '../../lib/crypto/mac.ts';
import { forgeHmac } from '../support/forge.ts';

const ascii = (text: string): Buffer => Buffer.from(text, 'latin1');
const VECTORS = [
  // RFC 4231, test cases 1, 2, 3, 6, 7
  [
    'sha256',
    Buffer.alloc(20, 0x0b),
    ascii('Hi There'),
    'b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7',
  ],
  [
    'sha256',
    ascii('Jefe'),
    ascii('what do ya want for nothing?'),
    '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
  ],
  [
    'sha256',
    Buffer.alloc(20, 0xaa),
    Buffer.alloc(50, 0xdd),
    '773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe',
  ],
  [
    'sha256',
    Buffer.alloc(131, 0xaa),
    ascii('Test Using Larger Than Block-Size Key - Hash Key First'),
    '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54',
  ],
  // RFC 2202, test cases 1, 2, 3, 6
  ['md5', Buffer.alloc(16, 0x0b), ascii('Hi There'), '9294727a3638bb1c13f48ef8158bfc9d'],
  ['md5', ascii('Jefe'), ascii('what do ya want for nothing?'), '750c783e6ab0b503eaa86e310a5db738'],
  ['md5', Buffer.alloc(16, 0xaa), Buffer.alloc(50, 0xdd), '56be34521d144c88dbb8c733f0e8b3f6'],
  [
    'md5',
    Buffer.alloc(80, 0xaa),
    ascii('Test Using Larger Than Block-Size Key - Hash Key First'),
    '6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd',
  ],
] as const;

describe('hmac', () => {
  for (const [number, [digest, key, message, expected]] of VECTORS.entries()) {
    it(`gives the published result ${number + 1} (${digest}), and so does node-forge`, () => {
      assert.equal(hmac(digest, key, message).toString('hex'), expected);
      assert.equal(forgeHmac(digest, key, message).toString('hex'), expected);
    });
  }

  it('agrees with node-forge for any key and message', () => {
    const digest = fc.constantFrom('sha256' as const, 'md5' as const);
    const key = fc.uint8Array({ minLength: 1, maxLength: 150 });
    fc.assert(
      fc.property(digest, key, fc.uint8Array({ maxLength: 200 }), (name, secret, message) => {
        assert.deepEqual(hmac(name, secret, message), forgeHmac(name, secret, message));
      }),
    );
  });
});

describe('label', () => {
  it('ends in a zero byte, so that none is the beginning of another', () => {
    assert.deepEqual(label('portknock/1 x'), Buffer.from('706f72746b6e6f636b2f31207800', 'hex'));
    const one = label('portknock/1 one-time port');
    const longer = label('portknock/1 one-time ports');
    assert.notDeepEqual(longer.subarray(0, one.length), one);
  });
});

describe('equalBytes', () => {
  it('is true for the same bytes only, and takes any lengths', () => {
    const bytes = fc.uint8Array({ maxLength: 4, max: 1 });
    fc.assert(
      fc.property(bytes, bytes, (one, other) => {
        assert.equal(equalBytes(one, other), Buffer.compare(one, other) === 0);
      }),
    );
    assert.equal(equalBytes(new Uint8Array(16), new Uint8Array(15)), false);
  });
});
