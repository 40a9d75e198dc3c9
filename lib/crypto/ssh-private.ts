// OpenSSH private key files with an Ed25519 key (OpenSSH's PROTOCOL.key), encrypted or not. Whatever else somebody may
// name as a key file is refused with what it is and what to do about it, and no byte of it is shown.

import { createPrivateKey, createPublicKey, sign, type KeyObject } from 'node:crypto';
import { KnockError, printable } from '../errors.ts';
import { decryptSection, fitsCipher, isSshCipher, type EncryptedSection } from './ssh-cipher.ts';
import { keyOfBlob, PRIVATE_KEY_LABEL, PRIVATE_KEY_MAGIC, SSH_KEY_TYPE, sshKeyType } from './ssh-key.ts';
import { hasSshArmor, parseSshArmor, SshReader } from './ssh-wire.ts';

/** A private key, ready to sign. */
export interface SshPrivateKey {
  /** The public half as SSH sends it, 51 bytes. */
  readonly blob: Buffer;
  /** The file's own: text from outside. */
  readonly comment: string;
  /** The Ed25519 signature of `message`, 64 bytes. */
  sign(message: Uint8Array): Buffer;
}

/** Asks for the passphrase of a key file; called only when the file is encrypted. What it throws is passed on. */
export type AskPassphrase = () => string | Promise<string>;

interface Container {
  readonly blob: Buffer;
  readonly key: Buffer;
  /** `null`: not encrypted. */
  readonly encryption: EncryptedSection | null;
  readonly section: Buffer;
}

const MOST_CHARS = 64 * 1024;
const SEED_BYTES = 32;
const CHECK_BYTES = 8;
// ssh-keygen's own is 16 to 24, and 100 is what guides for the careful say. 1024 rounds take 12 s.
const MOST_ROUNDS = 1024;
const MAKE_ONE = 'make one: ssh-keygen -t ed25519';
const REWRITE = 'rewrite it: ssh-keygen -p -Z aes256-ctr -f FILE';
// A raw private key's framing (RFC 8410 section 7).
const PKCS8_HEAD = Buffer.from('302e020100300506032b657004220420', 'hex');

/**
 * Reads the text of a private key file.
 *
 * @throws KnockError `ERR_KEY` (not such a file, damaged, another type of key, an unusual encryption) or
 * `ERR_PASSWORD` (it is encrypted, and the passphrase is wrong or was not given)
 */
export async function parseSshPrivateKey(text: string, passphrase?: AskPassphrase): Promise<SshPrivateKey> {
  const container = containerOf(unarmored(text));
  const { encryption } = container;
  const section = encryption === null ? container.section : await decrypted(encryption, passphrase);
  try {
    return keyOf(section, container);
  } finally {
    section.fill(0);
  }
}

function unarmored(text: string): Buffer {
  if (text.length > MOST_CHARS) throw unusable('file is too long for a key', 'name the private key file');
  const bytes = parseSshArmor(PRIVATE_KEY_LABEL, text);
  if (bytes !== null) return bytes;
  throw hasSshArmor(PRIVATE_KEY_LABEL, text) ? damaged('its text is not whole') : stranger(text.trim());
}

function containerOf(file: Buffer): Container {
  const reader = new SshReader(file);
  if (!reader.bytes(PRIVATE_KEY_MAGIC.length).equals(PRIVATE_KEY_MAGIC)) throw damaged('its head is wrong');
  const [cipher, kdf, kdfOptions, count] = [reader.text(), reader.text(), reader.string(), reader.uint32()];
  const [blob, section, tag] = [reader.string(), reader.string(), reader.rest()];
  if (!reader.sound) throw damaged('it ends too early');
  if (count !== 1) throw unusable(`it holds ${count} keys, not one`, MAKE_ONE);
  const type = new SshReader(blob).text();
  if (type !== '' && type !== SSH_KEY_TYPE) throw wrongType(type);
  const key = keyOfBlob(blob);
  if (key === null) throw damaged('its public half is wrong');
  if (cipher !== 'none' && kdf !== 'none') {
    return { blob, key, section, encryption: encryptionOf({ cipher, kdf, kdfOptions, bytes: section, tag }) };
  }
  if (cipher !== kdf || kdfOptions.length > 0 || tag.length > 0)
    throw damaged('its encryption is contradictory');
  return { blob, key, section, encryption: null };
}

function encryptionOf(named: {
  readonly cipher: string;
  readonly kdf: string;
  readonly kdfOptions: Buffer;
  readonly bytes: Buffer;
  readonly tag: Buffer;
}): EncryptedSection {
  const { cipher, kdf, kdfOptions, bytes, tag } = named;
  if (!isSshCipher(cipher)) throw unusable(`it is encrypted with ${printable(cipher, 40)}`, REWRITE);
  if (kdf !== 'bcrypt') throw unusable(`its key derivation is ${printable(kdf, 40)}`, REWRITE);
  const options = new SshReader(kdfOptions);
  const [salt, rounds] = [options.string(), options.uint32()];
  if (!options.ended || salt.length === 0 || rounds === 0) throw damaged('its key derivation is wrong');
  if (rounds > MOST_ROUNDS) {
    const problem = `its key derivation takes ${rounds} rounds, more than ${MOST_ROUNDS}`;
    throw unusable(problem, 'rewrite it: ssh-keygen -p -a 100 -f FILE');
  }
  const section = { cipher, salt, rounds, bytes, tag };
  if (!fitsCipher(section)) throw damaged('its encrypted part has a wrong length');
  return section;
}

async function decrypted(encryption: EncryptedSection, passphrase?: AskPassphrase): Promise<Buffer> {
  if (passphrase === undefined) {
    throw wrongPassphrase('private key is encrypted (give its passphrase, or ssh-add it and use the agent)');
  }
  const section = decryptSection(encryption, await passphrase());
  if (section !== null && isChecked(section)) return section;
  throw wrongPassphrase('passphrase of the private key is wrong (type it again)');
}

function keyOf(section: Buffer, { blob, key }: Container): SshPrivateKey {
  if (!isChecked(section)) throw damaged('its check numbers differ');
  const reader = new SshReader(section.subarray(CHECK_BYTES));
  const [type, inner, secret] = [reader.text(), reader.string(), reader.string()];
  const [comment, padding] = [reader.text(), reader.rest()];
  const fits = reader.sound && type === SSH_KEY_TYPE && secret.length === 2 * SEED_BYTES;
  if (!fits || padding.some((byte, i) => byte !== ((i + 1) & 0xff)))
    throw damaged('its private part is wrong');
  const privateKey = privateKeyOf(secret.subarray(0, SEED_BYTES));
  const derived = createPublicKey(privateKey).export({ type: 'spki', format: 'der' }).subarray(-SEED_BYTES);
  if (![inner, secret.subarray(SEED_BYTES), derived].every((each) => each.equals(key))) {
    throw damaged('its public half does not belong to its private one');
  }
  return { blob, comment, sign: (message) => sign(null, message, privateKey) };
}

/** A section begins with the same number twice, unless it was decrypted with a wrong key. */
function isChecked(section: Buffer): boolean {
  const reader = new SshReader(section);
  return reader.uint32() === reader.uint32() && reader.sound;
}

function privateKeyOf(seed: Buffer): KeyObject {
  const der = Buffer.concat([PKCS8_HEAD, seed]);
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  der.fill(0);
  return key;
}

/** What was named as a key file instead. */
function stranger(text: string): KnockError {
  const [, pem] = /^-{5}BEGIN ([A-Z0-9 ]{1,40})-{5}/u.exec(text) ?? [];
  const algorithm = /^(RSA|DSA|EC) PRIVATE KEY$/u.exec(pem ?? '')?.[1];
  if (algorithm !== undefined) return wrongType(algorithm);
  if (pem === 'PRIVATE KEY' || pem === 'ENCRYPTED PRIVATE KEY') {
    return unusable('it is in PKCS#8 format, not in OpenSSH format', MAKE_ONE);
  }
  if (sshKeyType(text) !== null || pem?.endsWith('PUBLIC KEY') === true) {
    return unusable('it is a public key', 'name the private one: the same name without .pub');
  }
  if (text.startsWith('PuTTY-User-Key-File')) {
    return unusable('it is in PuTTY format', 'puttygen FILE -O private-openssh-new -o NEW');
  }
  return unusable('it is not in OpenSSH format', `name a private key file, or ${MAKE_ONE}`);
}

function wrongType(type: string): KnockError {
  return unusable(
    `it is a key of type ${printable(type, 40)}`,
    `only ssh-ed25519 keys can sign knocks; ${MAKE_ONE}`,
  );
}

function damaged(where: string): KnockError {
  return unusable(`the file is damaged, ${where}`, 'restore it from a copy');
}

function unusable(problem: string, advice: string): KnockError {
  return new KnockError('ERR_KEY', `private key cannot be used: ${problem} (${advice})`);
}

function wrongPassphrase(message: string): KnockError {
  return new KnockError('ERR_PASSWORD', message);
}
