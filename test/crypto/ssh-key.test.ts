// Ed25519 public keys as OpenSSH writes them, judged by ssh-keygen.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import {
  formatSshPublicKey,
  generateSshKey,
  keyOfBlob,
  parseSshPublicKey,
  sshFingerprint,
  sshKeyType,
} from '../../lib/crypto/ssh-key.ts';
import { run, scratch, sshKeygen, writePrivate } from '../support/ssh-tools.ts';

// The key of spa-vectors.json.
const KEY = 'cd14b37f956e953194ff7fb73b3d81dcc561d61a7538094b7c3e1a643ee5f3aa';
const BLOB = Buffer.from(`0000000b7373682d6564323535313900000020${KEY}`, 'hex');
const BASE64 = BLOB.toString('base64');
const LINE = `ssh-ed25519 ${BASE64} alice@laptop`;

describe('an ssh-ed25519 line', () => {
  const at = scratch();

  it('gives the blob, the key and the comment', () => {
    assert.deepEqual(parseSshPublicKey(LINE), {
      blob: BLOB,
      key: Buffer.from(KEY, 'hex'),
      comment: 'alice@laptop',
    });
  });

  it('may have no comment, a long one, other white space and a line end', () => {
    const comments: readonly [line: string, comment: string][] = [
      [`ssh-ed25519 ${BASE64}`, ''],
      [`ssh-ed25519 ${BASE64} \n`, ''],
      [`${LINE}\r\n`, 'alice@laptop'],
      [`  ssh-ed25519\t${BASE64} \t the key of alice `, 'the key of alice'],
      [`ssh-ed25519 ${BASE64} é "x" # y`, 'é "x" # y'],
    ];
    for (const [line, comment] of comments) assert.equal(parseSshPublicKey(line)?.comment, comment, line);
  });

  it('is read as ssh-keygen writes it', () => {
    const { publicLine } = sshKeygen(at('plain'), { comment: 'two words' });
    const key = parseSshPublicKey(publicLine);
    assert.equal(key?.comment, 'two words');
    assert.equal(formatSshPublicKey(key.blob, key.comment), publicLine.trim());
    const [, fingerprint] = run('ssh-keygen', ['-l', '-f', at('plain.pub')]).split(' ');
    assert.equal(sshFingerprint(key.blob), fingerprint);
    assert.deepEqual(keyOfBlob(key.blob), key.key);
  });

  const withByte = (index: number, value: number): string => {
    const blob = Buffer.from(BLOB);
    blob[index] = value;
    return `ssh-ed25519 ${blob.toString('base64')}`;
  };
  const bad: readonly [what: string, line: string][] = [
    ['an empty line', ''],
    ['a comment line', `# ${LINE}`],
    ['the type alone', 'ssh-ed25519'],
    ['the base64 alone', BASE64],
    ['options in front', `no-pty ${LINE}`],
    ['quoted options in front', `from="10.0.0.0/8" ${LINE}`],
    ['a type in other letters', LINE.replace('ssh-', 'SSH-')],
    ['another type than the blob says', LINE.replace('ssh-ed25519', 'ssh-rsa')],
    ['a blob of another type', withByte(4 + 10, 0x38)],
    ['a key of a wrong length', withByte(18, 31)],
    ['a type of a wrong length', withByte(3, 12)],
    ['a byte too few', `ssh-ed25519 ${BLOB.subarray(0, -1).toString('base64')}`],
    ['a byte too many', `ssh-ed25519 ${Buffer.concat([BLOB, Buffer.alloc(1)]).toString('base64')}`],
    ['base64 that is cut off', `ssh-ed25519 ${BASE64.slice(0, -1)}`],
    ['padding that is not needed', `ssh-ed25519 ${BASE64}=`],
    ['a foreign character', `ssh-ed25519 ${BASE64.replace('A', '*')}`],
    ['the alphabet of URLs', `ssh-ed25519 ${withByte(50, 0xff).slice(12).replaceAll('/', '_')}`],
    ['a second line', `${LINE}\n${LINE}`],
    ['a second line behind a carriage return', `${LINE}\rssh-ed25519`],
  ];
  for (const [what, line] of bad) {
    it(`is not ${what}`, () => assert.equal(parseSshPublicKey(line), null));
  }

  it('is nothing else, and no text makes the reader throw', () => {
    const part = fc.constantFrom('ssh-ed25519', BASE64, ' ', '\t', '\n', '=', 'A', '\0', '\u{1f600}', '"');
    fc.assert(
      fc.property(fc.array(part, { maxLength: 6 }), (parts) => {
        const line = parts.join('');
        const key = parseSshPublicKey(line);
        if (key !== null) assert.deepEqual(key.blob, BLOB);
        assert.ok([null, 'ssh-ed25519'].includes(sshKeyType(line)));
      }),
    );
  });
});

describe('sshKeyType', () => {
  const at = scratch();

  for (const [type, args, name] of [
    ['rsa', ['-b', '2048'], 'ssh-rsa'],
    ['ecdsa', [], 'ecdsa-sha2-nistp256'],
    ['ed25519', [], 'ssh-ed25519'],
  ] as const) {
    it(`tells that a key of ssh-keygen -t ${type} is ${name}`, () => {
      const { publicLine } = sshKeygen(at(type), { type, args });
      assert.equal(sshKeyType(publicLine), name);
      assert.equal(parseSshPublicKey(publicLine) !== null, type === 'ed25519');
    });
  }

  it('tells a certificate from a key', () => {
    run('ssh-keygen', ['-q', '-s', at('rsa'), '-I', 'id', '-n', 'alice', at('ed25519.pub')]);
    const line = readFileSync(at('ed25519-cert.pub'), 'utf8');
    assert.equal(sshKeyType(line), 'ssh-ed25519-cert-v01@openssh.com');
    assert.equal(parseSshPublicKey(line), null);
  });

  it('is null for what is no public key', () => {
    const { privateText } = generateSshKey('');
    const rows = ['', 'hello world', LINE.replace('-ed', '-xd'), `ssh-rsa ${BASE64}`, 'a AAAA', privateText];
    for (const line of rows) assert.equal(sshKeyType(line), null, line);
  });
});

describe('keyOfBlob and sshFingerprint', () => {
  it('take any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        assert.equal(keyOfBlob(bytes), null);
        const sum = createHash('sha256').update(bytes).digest('base64').slice(0, 43);
        assert.equal(sshFingerprint(bytes), `SHA256:${sum}`);
      }),
    );
  });

  it('do not let a later change of the blob change the key', () => {
    const blob = Buffer.from(BLOB);
    const key = keyOfBlob(blob);
    blob.fill(0);
    assert.equal(key?.toString('hex'), KEY);
  });
});

describe('formatSshPublicKey', () => {
  it('gives one line, whatever the comment is', () => {
    const rows: readonly [comment: string, end: string][] = [
      ['alice@laptop', ' alice@laptop'],
      ['', ''],
      ['  ', ''],
      ['a\nssh-ed25519 AAAA', ' a ssh-ed25519 AAAA'],
      ['a\r\n\0\x1b[31m\u2028b', ' a [31m b'],
      ['josé', ' josé'],
    ];
    for (const [comment, end] of rows) {
      assert.equal(formatSshPublicKey(BLOB, comment), `ssh-ed25519 ${BASE64}${end}`);
    }
  });

  it('refuses what is no blob of an Ed25519 key', () => {
    for (const blob of [new Uint8Array(0), BLOB.subarray(1), Buffer.alloc(51)]) {
      assert.throws(() => formatSshPublicKey(blob, ''), { name: 'RangeError', message: /^blob must be/u });
    }
  });
});

describe('generateSshKey', () => {
  const at = scratch();

  it('writes files that ssh-keygen reads, for comments of any length', () => {
    for (let length = 0; length <= 9; length += 1) {
      const { privateText, publicLine } = generateSshKey('c'.repeat(length));
      const path = writePrivate(at(`key${length}`), privateText);
      assert.equal(run('ssh-keygen', ['-y', '-P', '', '-f', path]).trim(), publicLine);
      const fingerprint = sshFingerprint(parseSshPublicKey(publicLine)!.blob);
      assert.ok(run('ssh-keygen', ['-l', '-f', path]).includes(fingerprint));
    }
  });

  it('writes files that ssh-keygen can give a passphrase', () => {
    const { privateText, publicLine } = generateSshKey('a\nb');
    const path = writePrivate(at('protected'), privateText);
    run('ssh-keygen', ['-q', '-p', '-P', '', '-N', 'secret', '-a', '1', '-f', path]);
    assert.equal(run('ssh-keygen', ['-y', '-P', 'secret', '-f', path]).trim(), publicLine);
    assert.match(publicLine, / a b$/u);
  });

  it('never gives the same key twice', () => {
    const lines = Array.from({ length: 20 }, () => generateSshKey('').publicLine);
    assert.equal(new Set(lines).size, 20);
  });
});
