// What the packages for legacy give, against published vectors and against OpenSSL, which shares no code with them.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createCipheriv, createDecipheriv, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { createRequire } from 'node:module';
import fc from 'fast-check';
import { bcryptPbkdf, hmacMd5, openGcm, pbkdf2Sha256, sealGcm } from '../../lib/crypto/legacy.ts';

const hex = (text: string): Buffer => Buffer.from(text, 'hex');

describe('hmacMd5', () => {
  it('gives the values of RFC 2202', () => {
    const rows = [
      [Buffer.alloc(16, 0x0b), Buffer.from('Hi There'), '9294727a3638bb1c13f48ef8158bfc9d'],
      [Buffer.from('Jefe'), Buffer.from('what do ya want for nothing?'), '750c783e6ab0b503eaa86e310a5db738'],
      [
        Buffer.alloc(80, 0xaa),
        Buffer.from('Test Using Larger Than Block-Size Key - Hash Key First'),
        '6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd',
      ],
    ] as const;
    for (const [key, message, expected] of rows)
      assert.equal(hmacMd5(key, message).toString('hex'), expected);
  });

  it('gives what OpenSSL gives, for every length of key and message', () => {
    for (let length = 0; length < 150; length += 7) {
      const [key, message] = [randomBytes(length + 1), randomBytes(length)];
      assert.deepEqual(hmacMd5(key, message), createHmac('md5', key).update(message).digest());
    }
  });

  it('takes over where OpenSSL refuses MD5', () => {
    const script = `
      import crypto from 'node:crypto';
      import { syncBuiltinESMExports } from 'node:module';
      const { createHmac } = crypto;
      crypto.getFips = () => 1;
      crypto.createHmac = (digest, ...rest) => {
        if (digest === 'md5') throw new Error('digital envelope routines::unsupported');
        return createHmac(digest, ...rest);
      };
      syncBuiltinESMExports();
      const { hmac } = await import('./lib/crypto/mac.ts');
      console.log(hmac('md5', Buffer.from('Jefe'), Buffer.from('what do ya want for nothing?')).toString('hex'));`;
    const { stdout, stderr } = spawnSync(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', script],
      { encoding: 'utf8' },
    );
    assert.equal(stdout.trim(), '750c783e6ab0b503eaa86e310a5db738', stderr);
  });
});

describe('pbkdf2Sha256', () => {
  it('gives the value of RFC 7914 section 11', async () => {
    const key = await pbkdf2Sha256({
      password: Buffer.from('passwd'),
      salt: Buffer.from('salt'),
      iterations: 1,
    });
    assert.equal(key.toString('hex'), '55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc');
  });

  it('gives what OpenSSL gives, for bytes of any value', async () => {
    for (let length = 1; length < 100; length += 9) {
      const [password, salt, iterations] = [randomBytes(length), randomBytes(length), length];
      const expected = pbkdf2Sync(password, salt, iterations, 32, 'sha256');
      assert.deepEqual(await pbkdf2Sha256({ password, salt, iterations }), expected);
    }
  });

  it('leaves the event loop free meanwhile', async () => {
    let turns = 0;
    const turn = setInterval(() => (turns += 1), 1);
    // So many that no standstill of this thread alone lasts as long.
    await pbkdf2Sha256({ password: hex('00'), salt: hex('00'), iterations: 500_000 });
    clearInterval(turn);
    assert.ok(turns > 0);
  });
});

describe('AES-256-GCM', () => {
  const input = fc.record({
    key: fc.uint8Array({ minLength: 32, maxLength: 32 }),
    iv: fc.uint8Array({ minLength: 12, maxLength: 12 }),
    additionalData: fc.uint8Array({ maxLength: 40 }),
  });
  const bytes = fc.uint8Array({ maxLength: 70 });

  it('gives the value of test case 16 of the GCM specification', () => {
    const key = hex('feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308');
    const plain = hex(
      'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72' +
        '1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
    );
    const additionalData = hex('feedfacedeadbeeffeedfacedeadbeefabaddad2');
    const sealed = sealGcm({ key, iv: hex('cafebabefacedbaddecaf888'), additionalData }, plain);
    assert.equal(
      sealed.toString('hex'),
      '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa' +
        '8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662' +
        '76fc6ece0f4e1768cddf8853bb2d551b',
    );
  });

  it('seals what OpenSSL opens, and opens what OpenSSL seals', () => {
    fc.assert(
      fc.property(input, bytes, ({ key, iv, additionalData }, plain) => {
        const sealing = createCipheriv('aes-256-gcm', key, iv).setAAD(additionalData);
        const sealed = Buffer.concat([sealing.update(plain), sealing.final(), sealing.getAuthTag()]);
        assert.deepEqual(sealGcm({ key, iv, additionalData }, plain), sealed);
        assert.deepEqual(openGcm({ key, iv, additionalData }, sealed), Buffer.from(plain));
        const opening = createDecipheriv('aes-256-gcm', key, iv).setAAD(additionalData);
        opening.setAuthTag(sealed.subarray(-16));
        assert.deepEqual(
          Buffer.concat([opening.update(sealed.subarray(0, -16)), opening.final()]),
          Buffer.from(plain),
        );
      }),
    );
  });

  it('opens nothing with a changed bit in any input, and nothing that was cut', () => {
    const [key, iv, additionalData] = [randomBytes(32), randomBytes(12), randomBytes(5)];
    const sealed = sealGcm({ key, iv, additionalData }, Buffer.from('text'));
    for (const part of [key, iv, additionalData, sealed]) {
      for (let bit = 0; bit < part.length * 8; bit += 3) {
        part[bit >> 3] = part[bit >> 3]! ^ (1 << (bit & 7));
        assert.equal(openGcm({ key, iv, additionalData }, sealed), null);
        part[bit >> 3] = part[bit >> 3]! ^ (1 << (bit & 7));
      }
    }
    for (let length = 0; length < sealed.length; length += 1) {
      assert.equal(openGcm({ key, iv, additionalData }, sealed.subarray(0, length)), null);
    }
    assert.equal(openGcm({ key, iv, additionalData }, sealed)?.toString(), 'text');
  });
});

describe('bcryptPbkdf', () => {
  it('gives what the implementation of OpenBSD gives', () => {
    // Values that the tests of other ports of it quote.
    const rows = [
      [12, 'password', 'salt', '1ae42c05d487bc02f64921a4ebe4ea93bcacfe135fda99974c06b7b01fae149a'],
      [
        3,
        'passwordy\0PASSWORD\0',
        'salty\0SALT\0',
        '7f310bd3e78c3280c59ce4595211a2928e8d4ec744c1ed2efc9f764e3388e0ad',
      ],
      [
        8,
        'секретное слово',
        'посолить немножко',
        '8df43fc6fe131fc47f0c9e39224bd94c70b6fcc8ee8135faddf61156e6cb2733ea765f315a3e1e4afc35bf8687d1' +
          '89254c1e05a6fe80c0617f9183d67260d6a115c6c94e3603e2303fbb43a76a64523ffda686b1d4518543',
      ],
    ] as const;
    for (const [rounds, password, salt, expected] of rows) {
      const key = bcryptPbkdf({
        password: Buffer.from(password),
        salt: Buffer.from(salt),
        rounds,
        keyBytes: expected.length / 2,
      });
      assert.equal(key?.toString('hex'), expected);
    }
  });

  it('gives null for a password or a salt that is empty', () => {
    const some = hex('00');
    const none = hex('');
    assert.equal(bcryptPbkdf({ password: none, salt: some, rounds: 1, keyBytes: 32 }), null);
    assert.equal(bcryptPbkdf({ password: some, salt: none, rounds: 1, keyBytes: 32 }), null);
  });
});

describe('the packages for legacy', () => {
  it('are not loaded before they are needed', () => {
    const script = `
      const { hmac } = await import('./lib/crypto/mac.ts');
      await import('./lib/knocker.ts');
      hmac('sha256', Buffer.alloc(1), Buffer.alloc(1));
      const { createRequire } = await import('node:module');
      const loaded = Object.keys(createRequire(import.meta.url).cache);
      console.log(loaded.filter((file) => /forge|bcrypt|tweetnacl/u.test(file)).length);`;
    const args = ['--import', 'tsx', '--input-type=module', '-e', script];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    assert.equal(stdout.trim(), '0', stderr);
    // What the filter looks for is there once something was called.
    hmacMd5(hex('00'), hex('00'));
    assert.ok(Object.keys(createRequire(import.meta.url).cache).some((file) => file.includes('node-forge')));
  });
});
