// Signatures of knocks, judged by ssh-keygen -Y and by the project's vectors.

import assert from 'node:assert/strict';
import { createDecipheriv, createPrivateKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { generateSshKey, parseSshPublicKey } from '../../lib/crypto/ssh-key.ts';
import { parseSshPrivateKey } from '../../lib/crypto/ssh-private.ts';
import { ed25519PublicKey, sshsigBlob, verifySshsig } from '../../lib/crypto/sshsig.ts';
import { run, scratch, sshKeygen, tried, writePrivate } from '../support/ssh-tools.ts';
import { allowedSigner, armorSshsig, rawSignature } from '../support/sshsig.ts';

const hex = (text: string): Buffer => Buffer.from(text, 'hex');

describe('sshsigBlob', () => {
  it('is the preamble, the namespace, nothing, the hash by name and the hash', () => {
    const sha512OfNothing =
      'cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce' +
      '47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e';
    const head = '535348534947' + '00000009706f72746b6e6f636b' + '00000000' + '00000006736861353132';
    assert.equal(sshsigBlob(new Uint8Array(0)).toString('hex'), `${head}00000040${sha512OfNothing}`);
  });

  it('is another object each time', () => {
    const message = Buffer.from('x');
    sshsigBlob(message).fill(0);
    assert.notDeepEqual(sshsigBlob(message), Buffer.alloc(101));
  });
});

describe('verifySshsig', () => {
  const at = scratch();

  it('takes the signature of a vector of suite 2', () => {
    // ed25519-observed of protocols/spa-vectors.json.
    const outerKey = hex('f78e68cc182151e261e32d75e157dd0abceb07c2eec29c25e0c9d26acf4ad933');
    const publicKey = hex('cd14b37f956e953194ff7fb73b3d81dcc561d61a7538094b7c3e1a643ee5f3aa');
    const datagram = hex(VECTOR.join(''));
    const nonce = datagram.subarray(0, 16);
    const content = createDecipheriv('aes-256-ctr', outerKey, nonce).update(datagram.subarray(32));
    const label = Buffer.from('portknock/1 client sig\0', 'latin1');
    const message = Buffer.concat([label, nonce, content.subarray(0, 96)]);
    const signature = content.subarray(96, 160);
    const key = ed25519PublicKey(publicKey);
    assert.equal(verifySshsig(key, message, signature), true);
    for (let bit = 0; bit < signature.length * 8; bit += 1) {
      const flipped = Buffer.from(signature);
      flipped[bit >> 3] = flipped[bit >> 3]! ^ (1 << (bit & 7));
      assert.equal(verifySshsig(key, message, flipped), false, String(bit));
    }
    for (let index = 0; index < message.length; index += 1) {
      const flipped = Buffer.from(message);
      flipped[index] = flipped[index]! ^ 1;
      assert.equal(verifySshsig(key, flipped, signature), false, String(index));
    }
    const seed = Buffer.concat([hex('302e020100300506032b657004220420'), Buffer.from(SEED)]);
    const privateKey = createPrivateKey({ key: seed, format: 'der', type: 'pkcs8' });
    assert.deepEqual(sign(null, sshsigBlob(message), privateKey), signature);
  });

  it('takes no signature of another length, and does not throw', () => {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519');
    const signature = sign(null, sshsigBlob(Buffer.from('x')), privateKey);
    const longer = Buffer.concat([signature, Buffer.alloc(1)]);
    for (const each of [signature.subarray(0, 63), longer, new Uint8Array(0)]) {
      assert.equal(verifySshsig(publicKey, Buffer.from('x'), each), false);
    }
    assert.equal(verifySshsig(publicKey, Buffer.from('x'), signature), true);
  });

  it('takes no signature of the message itself', () => {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519');
    const message = Buffer.from('x');
    assert.equal(verifySshsig(publicKey, message, sign(null, message, privateKey)), false);
  });

  it('takes no noise', () => {
    const { publicKey } = generateKeyPairSync('ed25519');
    const noise = fc.uint8Array({ minLength: 64, maxLength: 64 });
    fc.assert(fc.property(noise, (signature) => !verifySshsig(publicKey, Buffer.from('x'), signature)));
  });

  const message = randomBytes(136);
  const signatureOf = (...args: readonly string[]): Buffer => {
    rmSync(at('message.sig'), { force: true });
    writeFileSync(at('message'), message);
    run('ssh-keygen', ['-q', '-Y', 'sign', '-f', at('key'), ...args, at('message')]);
    return rawSignature(readFileSync(at('message.sig'), 'utf8'));
  };
  it('takes what ssh-keygen -Y sign -n portknock makes, and nothing that it makes for another purpose', () => {
    const { publicLine } = sshKeygen(at('key'));
    const key = ed25519PublicKey(parseSshPublicKey(publicLine)!.key);
    const other = ed25519PublicKey(parseSshPublicKey(generateSshKey('').publicLine)!.key);
    const signature = signatureOf('-n', 'portknock');
    assert.equal(verifySshsig(key, message, signature), true);
    assert.equal(verifySshsig(other, message, signature), false);
    assert.equal(verifySshsig(key, message.subarray(1), signature), false);
    for (const args of [
      ['-n', 'file'],
      ['-n', 'git'],
      ['-n', 'Portknock'],
      ['-n', 'portknock ', '-O', 'hashalg=sha512'],
      ['-n', 'portknock', '-O', 'hashalg=sha256'],
    ]) {
      assert.equal(verifySshsig(key, message, signatureOf(...args)), false, args.join(' '));
    }
  });
});

describe('a signature of ours', () => {
  const at = scratch();

  it('is good for ssh-keygen -Y verify, under its own name, key, namespace and message only', async () => {
    const [alice, mallory] = [generateSshKey('alice'), generateSshKey('mallory')];
    const key = await parseSshPrivateKey(alice.privateText);
    const message = randomBytes(136);
    const text = armorSshsig(key.blob, key.sign(sshsigBlob(message)));
    const signature = writePrivate(at('signature'), text);
    const signers = writePrivate(
      at('signers'),
      allowedSigner('alice', alice.publicLine) + allowedSigner('mallory', mallory.publicLine),
    );
    const accepts = (name: string, namespace: string, input: Buffer): boolean => {
      const args = ['-Y', 'verify', '-f', signers, '-I', name, '-n', namespace, '-s', signature];
      return tried('ssh-keygen', args, { input }).accepted;
    };
    assert.equal(accepts('alice', 'portknock', message), true);
    assert.equal(accepts('mallory', 'portknock', message), false);
    assert.equal(accepts('alice', 'file', message), false);
    assert.equal(accepts('alice', 'portknock', message.subarray(1)), false);
  });
});

describe('ed25519PublicKey', () => {
  it('gives the key of the 32 bytes', () => {
    const { publicKey } = generateKeyPairSync('ed25519');
    const raw = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32);
    assert.equal(ed25519PublicKey(raw).equals(publicKey), true);
  });

  it('refuses other lengths', () => {
    for (const length of [0, 31, 33, 51]) {
      const message = `raw must be 32 bytes (got ${length})`;
      assert.throws(() => ed25519PublicKey(Buffer.alloc(length)), { name: 'RangeError', message });
    }
  });
});

const SEED = Array.from({ length: 32 }, (_, i) => 0x80 + i);
const VECTOR = [
  'a0a1a2a369254228a8a9aaabacadaeaf5e067fc1aa5291fbf14f804a746a35bcbe296814372bea8c1ad8aa47f69f28bd',
  '2ef3a184d0f43d0050da5ba3d15d636a267bda3c5bd9d2f852262532282d8b980c0e3aceabd652ee3bb8c686befc7c63',
  'cf0f72576fb5204e04d592bb7f5a95b76fbea95eccaf7467896eb4f21675465cdb1dd863dc861227f87388955e95ec95',
  'fc571b1f227e2ef952dbb237ef2bf275e7ecdb11eb4b1a4e7cb40da72177e583ee9aaf7253e2b78af1bc479d9033d076',
];
