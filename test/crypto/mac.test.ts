// Our keyed hashes against published vectors (RFC 4231, RFC 2202) and against node-forge, which shares no code with them.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { equalBytes, hkdf, hmac, label, LabelledMac, sha256 } from '../../lib/crypto/mac.ts';
import { forgeHmac } from '../support/forge.ts';
import { oracleHkdf } from '../support/spa-oracle.ts';

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
    const key = fc.uint8Array({ minLength: 1, maxLength: 150, size: 'max' });
    fc.assert(
      fc.property(digest, key, fc.uint8Array({ maxLength: 200, size: 'max' }), (name, secret, message) => {
        assert.deepEqual(hmac(name, secret, message), forgeHmac(name, secret, message));
      }),
    );
  });
});

describe('hkdf', () => {
  it('gives the published result without salt (RFC 5869, test case 3)', () => {
    const expected = '8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8';
    assert.equal(hkdf(Buffer.alloc(22, 0x0b), '', 42).toString('hex'), expected);
  });

  it('agrees with the oracle for any key, text and length', () => {
    const key = fc.uint8Array({ minLength: 1, maxLength: 100, size: 'max' });
    const info = fc.string({ unit: 'grapheme-ascii', maxLength: 30 });
    fc.assert(
      fc.property(key, info, fc.integer({ min: 1, max: 32 }), (secret, text, length) => {
        assert.deepEqual(hkdf(secret, text, length), oracleHkdf(secret, text, length));
      }),
    );
  });
});

describe('sha256', () => {
  it('gives the published results (FIPS 180-4)', () => {
    const [nothing, abc] = [sha256(ascii('')), sha256(ascii('abc'))].map((hash) => hash.toString('hex'));
    assert.equal(nothing, 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    assert.equal(abc, 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
  });
});

describe('LabelledMac', () => {
  const text = 'portknock/1 test';
  const MOST = 200;

  it('is the HMAC of the label and the parts, one message after the other', () => {
    const key = fc.uint8Array({ minLength: 1, maxLength: 150, size: 'max' });
    const parts = fc.array(fc.uint8Array({ maxLength: 40, size: 'max' }), { maxLength: 5 });
    fc.assert(
      fc.property(key, fc.array(parts, { maxLength: 4 }), (secret, messages) => {
        const mac = new LabelledMac(secret, text, MOST);
        for (const message of messages) {
          for (const part of message) {
            // From the midst of a buffer, as in a frame.
            const around = Buffer.concat([Buffer.alloc(3, 0xee), part, Buffer.alloc(3, 0xee)]);
            mac.add(around, 3, 3 + part.length);
          }
          const whole = Buffer.concat([label(text), ...message]);
          assert.deepEqual(mac.tag(), hmac('sha256', secret, whole));
          for (const part of message) mac.add(Buffer.from(part), 0, part.length);
          assert.ok(mac.isTag(hmac('sha256', secret, whole), 32));
          assert.deepEqual(forgeHmac('sha256', secret, whole), hmac('sha256', secret, whole));
        }
      }),
    );
  });

  it('hands out tags that the next message does not overwrite', () => {
    const mac = new LabelledMac(Buffer.alloc(32, 1), text, MOST);
    const first = mac.add(ascii('one'), 0, 3).tag();
    const copy = Buffer.from(first);
    mac.add(ascii('two'), 0, 3).tag();
    assert.deepEqual(first, copy);
  });

  it('knows its tag, and the first half of it where that is asked for, and nothing else', () => {
    const mac = new LabelledMac(Buffer.alloc(32, 1), text, MOST);
    const message = ascii('message');
    const tag = mac.add(message, 0, message.length).tag();
    const knows = (said: Buffer, tagBytes: 16 | 32): boolean =>
      mac.add(message, 0, message.length).isTag(said, tagBytes);
    assert.deepEqual([knows(tag, 32), knows(tag.subarray(0, 16), 16)], [true, true]);
    for (const length of [0, 1, 8, 15, 16, 17, 31])
      assert.equal(knows(tag.subarray(0, length), 32), false, `${length} of 32`);
    for (const length of [0, 1, 15, 17, 31, 32])
      assert.equal(knows(tag.subarray(0, length), 16), false, `${length} of 16`);
    assert.deepEqual([knows(tag.subarray(16), 16), knows(Buffer.concat([tag, tag]), 32)], [false, false]);
    for (let bit = 0; bit < 8 * tag.length; bit += 1) {
      const other = Buffer.from(tag);
      other[bit >> 3] = (other[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      assert.equal(knows(other, 32), false);
      if (bit < 128) assert.equal(knows(other.subarray(0, 16), 16), false);
    }
    assert.equal(mac.add(message, 0, 6).isTag(tag, 32), false);
  });

  it('takes as much as it was told, and refuses more instead of leaving it out', () => {
    const key = Buffer.alloc(32, 1);
    const mac = new LabelledMac(key, text, MOST);
    const message = Buffer.alloc(MOST + 1, 5);
    const tagOf = (length: number): Buffer =>
      hmac('sha256', key, Buffer.concat([label(text), message.subarray(0, length)]));
    assert.deepEqual(mac.add(message, 0, MOST).tag(), tagOf(MOST));
    assert.throws(() => mac.add(message, 0, MOST + 1), RangeError);
    assert.throws(() => mac.add(message, 0, MOST).add(message, 0, 1), {
      name: 'RangeError',
      message: 'message must be at most 200 bytes',
    });
    assert.deepEqual(mac.add(message, 0, 3).tag(), tagOf(3), 'nothing is left of the refused one');
  });

  it('has another tag for another key, label, byte or order', () => {
    const tag = (key: number, name: string, message: string): string =>
      new LabelledMac(Buffer.alloc(32, key), name, MOST)
        .add(ascii(message), 0, message.length)
        .tag()
        .toString('hex');
    const tags = [
      tag(1, 'a', 'bc'),
      tag(2, 'a', 'bc'),
      tag(1, 'b', 'bc'),
      tag(1, 'a', 'bd'),
      tag(1, 'a', 'cb'),
    ];
    assert.equal(new Set([...tags, tag(1, 'ab', 'c')]).size, 6);
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
