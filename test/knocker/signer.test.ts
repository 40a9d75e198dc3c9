// Signers that hold a key: what a key file gives to a knocker.

import assert from 'node:assert/strict';
import { verify } from 'node:crypto';
import { generateSshKey, parseSshPublicKey } from '../../lib/crypto/ssh-key.ts';
import { ed25519PublicKey, sshsigBlob, verifySshsig } from '../../lib/crypto/sshsig.ts';
import { keySigner } from '../../lib/knocker/signer.ts';
import { scratch, sshKeygen } from '../support/ssh-tools.ts';

describe('keySigner', () => {
  const at = scratch();

  it('signs with the key of an open file, without asking', async () => {
    const { privateText, publicLine } = sshKeygen(at('open'));
    const { blob, key } = parseSshPublicKey(publicLine)!;
    const signer = await keySigner(privateText, { passphrase: () => assert.fail('asked') });
    assert.deepEqual(signer.publicKey, blob);
    const message = Buffer.from('a knock');
    const signature = await signer.sign(message);
    assert.ok(verify(null, message, ed25519PublicKey(key), signature));
    assert.ok(verifySshsig(ed25519PublicKey(key), message, await signer.sign(sshsigBlob(message))));
  });

  it('asks once for the passphrase of an encrypted one, and never again', async () => {
    const { privateText, publicLine } = sshKeygen(at('closed'), { passphrase: 'secret', args: ['-a', '1'] });
    let asked = 0;
    const passphrase = async (): Promise<string> => {
      asked += 1;
      return 'secret';
    };
    const signer = await keySigner(privateText, { passphrase });
    for (const message of ['one', 'two', '']) {
      const key = ed25519PublicKey(parseSshPublicKey(publicLine)!.key);
      assert.ok(verify(null, Buffer.from(message), key, await signer.sign(Buffer.from(message))));
    }
    assert.equal(asked, 1);
  });

  it('tells a wrong passphrase, a missing one and a wrong file apart', async () => {
    const { privateText, publicLine } = sshKeygen(at('refused'), { passphrase: 'secret', args: ['-a', '1'] });
    const wrong = { passphrase: () => 'Secret' };
    await assert.rejects(keySigner(privateText, wrong), {
      code: 'ERR_PASSWORD',
      message: 'passphrase of the private key is wrong (type it again)',
    });
    await assert.rejects(keySigner(privateText), { code: 'ERR_PASSWORD', message: /is encrypted \(give/u });
    await assert.rejects(keySigner(publicLine, wrong), { code: 'ERR_KEY', message: /it is a public key/u });
    await assert.rejects(keySigner('', wrong), { code: 'ERR_KEY' });
  });

  it('shows nothing of the key', async () => {
    const { privateText } = generateSshKey('');
    const signer = await keySigner(privateText);
    assert.deepEqual(Object.keys(signer), ['publicKey', 'sign']);
    const damaged = privateText.replace('\n-----END', 'A\n-----END');
    await assert.rejects(keySigner(damaged), ({ message }: Error) => {
      const lines = privateText.split('\n').slice(1, -2);
      return lines.every((line) => !message.includes(line.slice(0, 8)));
    });
  });
});
