import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { hmacMd5 } from '../../lib/crypto/legacy.ts';

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
