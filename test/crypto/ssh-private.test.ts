// Private key files as ssh-keygen writes them, and everything else that may be named as one.

import assert from 'node:assert/strict';
import { generateKeyPairSync, verify } from 'node:crypto';
import { isSshCipher } from '../../lib/crypto/ssh-cipher.ts';
import {
  generateSshKey,
  keyOfBlob,
  parseSshPublicKey,
  PRIVATE_KEY_LABEL,
  PRIVATE_KEY_MAGIC,
} from '../../lib/crypto/ssh-key.ts';
import { parseSshPrivateKey, type SshPrivateKey } from '../../lib/crypto/ssh-private.ts';
import { ed25519PublicKey } from '../../lib/crypto/sshsig.ts';
import { parseSshArmor, sshArmor, sshString, sshUint32 } from '../../lib/crypto/ssh-wire.ts';
import { isKnockError, messageOf, type KnockErrorCode } from '../../lib/errors.ts';
import { random } from '../support/random.ts';
import { run, scratch, sshKeygen } from '../support/ssh-tools.ts';

const PASSPHRASE = 'correct hörse';
const ask = (): string => PASSPHRASE;
/** Where the comment stands in the private section, behind two numbers and three strings. */
const COMMENT_AT = 8 + 15 + 36 + 68;
const unasked = (): string => assert.fail('asked for a passphrase');

function assertSigns(key: SshPrivateKey, publicLine: string): void {
  assert.deepEqual(key.blob, parseSshPublicKey(publicLine)?.blob);
  const message = Buffer.from('any bytes');
  const signature = key.sign(message);
  assert.equal(signature.length, 64);
  assert.ok(verify(null, message, ed25519PublicKey(keyOfBlob(key.blob)!), signature));
}

/** What came of it: the key, or the code of the refusal; anything else that is thrown fails the test. */
async function outcome(text: string, passphrase = ask): Promise<SshPrivateKey | KnockErrorCode> {
  try {
    return await parseSshPrivateKey(text, passphrase);
  } catch (error) {
    assert.ok(isKnockError(error), String(error));
    assert.match(error.message, /^[\x20-\x7e]+$/u);
    // A damaged file may show bytes of the public key, three of which can be those of any shorter word.
    assert.ok(!error.message.includes('correct'), error.message);
    return error.code;
  }
}

const bytesOf = (text: string): Buffer => parseSshArmor(PRIVATE_KEY_LABEL, text)!;
const textOf = (bytes: Uint8Array): string => sshArmor(PRIVATE_KEY_LABEL, bytes);
const changed = (bytes: Buffer, index: number, by: number): string => {
  const copy = Buffer.from(bytes);
  copy[index] = copy[index]! ^ by;
  return textOf(copy);
};

describe('a key file of ssh-keygen', () => {
  const at = scratch();

  it('is read without asking for a passphrase, when it has none', async () => {
    const { privateText, publicLine } = sshKeygen(at('open'), { comment: 'alice@laptop' });
    const key = await parseSshPrivateKey(privateText, unasked);
    assert.equal(key.comment, 'alice@laptop');
    assertSigns(key, publicLine);
  });

  for (let length = 0; length < 8; length += 1) {
    it(`is read with a comment of ${length} letters, so with any padding`, async () => {
      const comment = 'c'.repeat(length);
      const { privateText, publicLine } = sshKeygen(at(`comment${length}`), { comment });
      const key = await parseSshPrivateKey(privateText);
      assert.equal(key.comment, comment);
      assertSigns(key, publicLine);
    });
  }

  for (const cipher of run('ssh', ['-Q', 'cipher']).trim().split('\n')) {
    const file = (): ReturnType<typeof sshKeygen> =>
      sshKeygen(at(cipher), { passphrase: PASSPHRASE, args: ['-Z', cipher, '-a', '2'] });
    if (isSshCipher(cipher)) {
      it(`is read when it is encrypted with ${cipher}, and only with its passphrase`, async () => {
        const { privateText, publicLine } = file();
        assertSigns(await parseSshPrivateKey(privateText, ask), publicLine);
        assertSigns(await parseSshPrivateKey(privateText, async () => PASSPHRASE), publicLine);
        for (const wrong of ['', 'x', `${PASSPHRASE} `, PASSPHRASE.toUpperCase(), 'correct horse']) {
          assert.equal(await outcome(privateText, () => wrong), 'ERR_PASSWORD');
        }
      });
    } else {
      it(`is refused when it is encrypted with ${cipher}, with what to do`, async () => {
        const { privateText } = file();
        await assert.rejects(parseSshPrivateKey(privateText, unasked), {
          code: 'ERR_KEY',
          message: `private key cannot be used: it is encrypted with ${cipher} (rewrite it: ssh-keygen -p -Z aes256-ctr -f FILE)`,
        });
      });
    }
  }

  it('is read by all ciphers that are promised', () => {
    const promised = ['aes256-ctr', 'aes192-ctr', 'aes128-ctr', 'aes256-cbc', 'aes128-cbc'];
    for (const each of [...promised, 'aes256-gcm@openssh.com', 'aes128-gcm@openssh.com']) {
      assert.ok(isSshCipher(each), each);
    }
    for (const each of ['none', '', 'toString', '__proto__']) assert.equal(isSshCipher(each), false, each);
  });

  it('is read as ssh-keygen encrypts it unless told otherwise, and with more rounds', async () => {
    for (const args of [[], ['-a', '40']]) {
      const name = `rounds${args.length}`;
      const { privateText, publicLine } = sshKeygen(at(name), { passphrase: PASSPHRASE, args });
      assertSigns(await parseSshPrivateKey(privateText, ask), publicLine);
    }
  });

  it('may come from a system with other line ends', async () => {
    const { privateText, publicLine } = generateSshKey('');
    assertSigns(await parseSshPrivateKey(privateText.replaceAll('\n', '\r\n')), publicLine);
    assertSigns(await parseSshPrivateKey(`\n${privateText}\n\n`), publicLine);
  });

  it('that is encrypted is refused when there is nobody to ask', async () => {
    const { privateText } = sshKeygen(at('nobody'), { passphrase: PASSPHRASE, args: ['-a', '1'] });
    await assert.rejects(parseSshPrivateKey(privateText), {
      code: 'ERR_PASSWORD',
      message: 'private key is encrypted (give its passphrase, or ssh-add it and use the agent)',
    });
  });

  it('that is encrypted passes on what the passphrase prompt throws', async () => {
    const { privateText } = sshKeygen(at('giving-up'), { passphrase: PASSPHRASE, args: ['-a', '1'] });
    const reason = new Error('no terminal');
    await assert.rejects(
      parseSshPrivateKey(privateText, () => Promise.reject(reason)),
      reason,
    );
  });
});

describe('a file that is no Ed25519 key in OpenSSH format', () => {
  const at = scratch();
  const pem = (type: 'pkcs1' | 'sec1' | 'pkcs8', passphrase?: string): string => {
    const format = { type, format: 'pem' } as const;
    const lock = passphrase === undefined ? {} : { cipher: 'aes-256-cbc', passphrase };
    if (type === 'pkcs1') {
      const pair = generateKeyPairSync('rsa', { modulusLength: 1024 });
      return pair.privateKey.export({ ...format, ...lock }).toString();
    }
    if (type === 'sec1') {
      return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export(format).toString();
    }
    return generateKeyPairSync('ed25519')
      .privateKey.export({ ...format, ...lock })
      .toString();
  };
  const other = (type: string, ...args: string[]): string =>
    sshKeygen(at(`${type}${args.length}`), { type, args }).privateText;
  const ONLY = 'only ssh-ed25519 keys can sign knocks; make one: ssh-keygen -t ed25519';
  const NOT_OPENSSH = /it is not in OpenSSH format \(name a private key file, or make one/u;

  const rows: readonly [what: string, text: () => string, message: RegExp | string][] = [
    ['an RSA key of OpenSSH', () => other('rsa', '-b', '1024'), `it is a key of type ssh-rsa (${ONLY})`],
    ['an ECDSA key of OpenSSH', () => other('ecdsa'), `it is a key of type ecdsa-sha2-nistp256 (${ONLY})`],
    [
      'an RSA key in PEM from ssh-keygen',
      () => other('rsa', '-b', '1024', '-m', 'PEM'),
      `it is a key of type RSA (${ONLY})`,
    ],
    ['an RSA key in PEM', () => pem('pkcs1'), `it is a key of type RSA (${ONLY})`],
    ['an encrypted RSA key in PEM', () => pem('pkcs1', 'x'), `it is a key of type RSA (${ONLY})`],
    ['an EC key in PEM', () => pem('sec1'), `it is a key of type EC (${ONLY})`],
    ['an Ed25519 key in PKCS#8', () => pem('pkcs8'), /it is in PKCS#8 format, not in OpenSSH format \(make/u],
    ['an encrypted one', () => pem('pkcs8', 'x'), /it is in PKCS#8 format, not in OpenSSH format \(make/u],
    ['a PuTTY key', () => 'PuTTY-User-Key-File-3: ssh-ed25519\n', /it is in PuTTY format \(puttygen FILE/u],
    ['a public key', () => generateSshKey('').publicLine, /it is a public key \(name the private one/u],
    [
      'a public key in PEM',
      () => '-----BEGIN PUBLIC KEY-----\nAAAA',
      /it is a public key \(name the private one/u,
    ],
    ['a certificate', () => '-----BEGIN CERTIFICATE-----\nAAAA', NOT_OPENSSH],
    ['nothing', () => '', NOT_OPENSSH],
    ['prose', () => 'hello\nworld', NOT_OPENSSH],
    ['a profile', () => '{"portknock":1}', NOT_OPENSSH],
    ['a novel', () => 'x'.repeat(65537), /file is too long for a key \(name/u],
  ];
  for (const [what, text, message] of rows) {
    it(`such as ${what} is refused with what it is`, async () => {
      const expected = typeof message === 'string' ? `private key cannot be used: ${message}` : message;
      await assert.rejects(parseSshPrivateKey(text(), unasked), { code: 'ERR_KEY', message: expected });
    });
  }

  it('cannot speak through the message', async () => {
    const file = Buffer.concat([
      ...[PRIVATE_KEY_MAGIC, sshString('none'), sshString('none'), sshString(''), sshUint32(1)],
      ...[sshString(sshString(`\x1b[31m${'x'.repeat(1000)}`)), sshString('')],
    ]);
    await assert.rejects(parseSshPrivateKey(textOf(file)), (error) => {
      assert.match(messageOf(error), /type \\u\{1b\}\[31mx+\.\.\. \(only/u);
      return messageOf(error).length < 250;
    });
  });
});

describe('a damaged key file', () => {
  const at = scratch();
  const { privateText, publicLine } = generateSshKey('a comment');
  const plain = bytesOf(privateText);

  it('is refused when its text is cut off or lacks a character anywhere', async () => {
    const whole = privateText.trimEnd();
    for (let length = 0; length < whole.length; length += 1) {
      assert.equal(await outcome(whole.slice(0, length)), 'ERR_KEY', String(length));
      if (whole[length] === '\n') continue;
      const without = whole.slice(0, length) + whole.slice(length + 1);
      assert.equal(await outcome(without), 'ERR_KEY', String(length));
    }
  });

  it('is refused when its bytes are cut off anywhere', async () => {
    for (let length = 1; length < plain.length; length += 1) {
      assert.equal(await outcome(textOf(plain.subarray(0, length)), unasked), 'ERR_KEY', String(length));
    }
    assert.equal(await outcome(textOf(Buffer.concat([plain, Buffer.alloc(1)]))), 'ERR_KEY');
  });

  it('is refused for any flipped bit outside of its comment, which nothing protects', async () => {
    const comment = sshString('a comment');
    const start = plain.indexOf(comment);
    for (let bit = 0; bit < plain.length * 8; bit += 1) {
      const index = bit >> 3;
      const result = await outcome(changed(plain, index, 1 << (bit & 7)));
      const inComment = index >= start && index < start + comment.length;
      if (inComment && typeof result !== 'string') assertSigns(result, publicLine);
      else assert.equal(result, 'ERR_KEY', String(bit));
    }
  });

  it('is refused when its two halves belong to different keys', async () => {
    const other = parseSshPublicKey(generateSshKey('').publicLine)!.key;
    const own = parseSshPublicKey(publicLine)!.key;
    const places: number[] = [];
    for (let at = plain.indexOf(own); at >= 0; at = plain.indexOf(own, at + 1)) places.push(at);
    assert.equal(places.length, 3);
    for (const swapped of [[0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]]) {
      const copy = Buffer.from(plain);
      for (const place of swapped) copy.set(other, places[place]);
      await assert.rejects(parseSshPrivateKey(textOf(copy)), {
        code: 'ERR_KEY',
        message: /the file is damaged, its public half does not belong to its private one \(restore/u,
      });
    }
  });

  it('is refused when it holds two keys', async () => {
    const count = plain.indexOf(Buffer.concat([sshUint32(0), sshUint32(1)])) + 7;
    await assert.rejects(parseSshPrivateKey(changed(plain, count, 3)), {
      message: /it holds 2 keys, not one/u,
    });
  });

  for (const cipher of ['aes256-ctr', 'aes256-gcm@openssh.com']) {
    it(`gives a refusal for every cut and every changed byte under ${cipher}`, async () => {
      const made = sshKeygen(at(cipher), { passphrase: PASSPHRASE, args: ['-Z', cipher, '-a', '1'] });
      const bytes = bytesOf(made.privateText);
      for (let length = 1; length < bytes.length; length += 1) {
        assert.equal(await outcome(textOf(bytes.subarray(0, length)), unasked), 'ERR_KEY', String(length));
      }
      const rounds = bytes.indexOf('bcrypt') + 30;
      const section = bytes.indexOf(parseSshPublicKey(made.publicLine)!.blob) + 51 + 4;
      // A derivation for each byte of ciphertext takes too long, and so do 257 rounds of it.
      const step = (index: number): number => (index < section ? 1 : 9);
      for (let index = 0; index < bytes.length; index += step(index)) {
        if (index === rounds + 2) continue;
        const result = await outcome(changed(bytes, index, 1));
        if (typeof result === 'string') assert.match(result, /^ERR_(KEY|PASSWORD)$/u);
        else if (cipher === 'aes256-ctr' && index >= section + COMMENT_AT)
          assertSigns(result, made.publicLine);
        else assert.fail(`byte ${index} does not matter`);
      }
    });
  }

  it('throws nothing but refusals for noise in armour', async () => {
    const rng = random(20260101);
    for (let i = 0; i < 3000; i += 1) {
      const noise = Buffer.from(plain);
      for (let changes = 1 + rng(20); changes > 0; changes -= 1) noise[rng(noise.length)] = rng(3) * rng(256);
      const result = await outcome(textOf(noise));
      if (typeof result !== 'string') assertSigns(result, publicLine);
    }
  });
});

describe('the encryption of a key file', () => {
  const blob = parseSshPublicKey(generateSshKey('').publicLine)!.blob;
  const SALT = Buffer.alloc(16, 1);
  const file = (part: {
    cipher?: string;
    kdf?: string;
    options?: Uint8Array;
    section?: number;
    tag?: number;
  }): string => {
    const { cipher = 'aes256-ctr', kdf = 'bcrypt', section = 160, tag = 0 } = part;
    const options = part.options ?? Buffer.concat([sshString(SALT), sshUint32(16)]);
    return textOf(
      Buffer.concat([
        ...[PRIVATE_KEY_MAGIC, sshString(cipher), sshString(kdf), sshString(options), sshUint32(1)],
        ...[sshString(blob), sshString(Buffer.alloc(section)), Buffer.alloc(tag)],
      ]),
    );
  };
  const rounds = (count: number): { options: Buffer } => ({
    options: Buffer.concat([sshString(SALT), sshUint32(count)]),
  });
  const gcm = 'aes256-gcm@openssh.com';
  const LENGTH = /the file is damaged, its encrypted part has a wrong length/u;
  const DERIVATION = /the file is damaged, its key derivation is wrong/u;
  const CONTRADICTORY = /the file is damaged, its encryption is contradictory/u;

  const rows: readonly [what: string, text: string, message: RegExp][] = [
    [
      'more rounds than we wait for',
      file(rounds(1025)),
      /takes 1025 rounds, more than 1024 \(rewrite it: ssh/u,
    ],
    ['rounds for years', file(rounds(0xffffffff)), /takes 4294967295 rounds/u],
    ['no rounds', file(rounds(0)), DERIVATION],
    ['no salt', file({ options: Buffer.concat([sshString(''), sshUint32(16)]) }), DERIVATION],
    ['nothing to derive from', file({ options: Buffer.alloc(0) }), DERIVATION],
    ['bytes behind the rounds', file({ options: Buffer.concat([rounds(1).options, SALT]) }), DERIVATION],
    ['another derivation', file({ kdf: 'scrypt' }), /its key derivation is scrypt \(rewrite/u],
    ['a derivation without a cipher', file({ cipher: 'none' }), CONTRADICTORY],
    ['a cipher without a derivation', file({ kdf: 'none' }), CONTRADICTORY],
    ['options without either', file({ cipher: 'none', kdf: 'none' }), CONTRADICTORY],
    ['a name of JavaScript', file({ cipher: '__proto__' }), /it is encrypted with __proto__ \(rewrite/u],
    ['nothing encrypted', file({ section: 0 }), LENGTH],
    ['half a block', file({ section: 168 }), LENGTH],
    ['a tag that does not belong', file({ tag: 16 }), LENGTH],
    ['a tag that is missing', file({ cipher: gcm }), LENGTH],
    ['a tag that is short', file({ cipher: gcm, tag: 15 }), LENGTH],
    ['a tag that is long', file({ cipher: gcm, tag: 17 }), LENGTH],
  ];
  for (const [what, text, message] of rows) {
    it(`with ${what} is refused before anybody is asked`, async () => {
      await assert.rejects(parseSshPrivateKey(text, unasked), { code: 'ERR_KEY', message });
    });
  }
});
