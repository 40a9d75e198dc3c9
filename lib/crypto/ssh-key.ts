// Ed25519 public keys in OpenSSH's form (RFC 4253 section 6.6, RFC 8709): the blob, the one-line text, the fingerprint;
// and a new key pair as the file that ssh-keygen would have written (OpenSSH's PROTOCOL.key).

import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { parseBase64 } from '../base64.ts';
import { SshReader, sshArmor, sshString, sshUint32 } from './ssh-wire.ts';

/** The one type of key that can sign knocks. */
export const SSH_KEY_TYPE = 'ssh-ed25519';
/** The label of the armour around a private key. */
export const PRIVATE_KEY_LABEL = 'OPENSSH PRIVATE KEY';
/** What a private key's bytes begin with. */
export const PRIVATE_KEY_MAGIC = Buffer.from('openssh-key-v1\0', 'latin1');

/** A public key from one line of text. */
export interface SshPublicKey {
  /** The key as SSH sends it, 51 bytes. */
  readonly blob: Buffer;
  /** The point alone, 32 bytes. */
  readonly key: Buffer;
  /** As it stands in the line: text from outside. */
  readonly comment: string;
}

const KEY_BYTES = 32;
const BLOB_HEAD = Buffer.concat([sshString(SSH_KEY_TYPE), sshUint32(KEY_BYTES)]);
const BLOCK_BYTES = 8;
const LINE = /^(\S+)[ \t]+(\S+)(?:[ \t]+(.*))?$/u;
const TYPE_NAME = /^[a-z0-9][a-z0-9@.-]{0,63}$/u;

/** Reads `ssh-ed25519 AAAA... comment`; `null` for anything else, keys of other types and lines with options included. */
export function parseSshPublicKey(line: string): SshPublicKey | null {
  const [, type, base64 = '', comment = ''] = LINE.exec(line.trim()) ?? [];
  const blob = type === SSH_KEY_TYPE ? parseBase64(base64) : null;
  const key = blob === null ? null : keyOfBlob(blob);
  return blob === null || key === null ? null : { blob, key, comment };
}

/** The type of the key in a public key line, whichever it is; `null` when the line is not a public key. */
export function sshKeyType(line: string): string | null {
  const [, type = '', base64 = ''] = LINE.exec(line.trim()) ?? [];
  const blob = TYPE_NAME.test(type) ? parseBase64(base64) : null;
  return blob !== null && new SshReader(blob).text() === type ? type : null;
}

/** The 32 bytes of the key in an Ed25519 key blob; `null` when it is not one. */
export function keyOfBlob(blob: Uint8Array): Buffer | null {
  const bytes = Buffer.from(blob);
  const fits = bytes.length === BLOB_HEAD.length + KEY_BYTES;
  return fits && bytes.subarray(0, BLOB_HEAD.length).equals(BLOB_HEAD)
    ? bytes.subarray(BLOB_HEAD.length)
    : null;
}

/** The fingerprint of a key blob as `ssh-keygen -l` prints it: `SHA256:...`. */
export function sshFingerprint(blob: Uint8Array): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace('=', '')}`;
}

/**
 * One line of text (without the line feed) for an Ed25519 key blob. Control characters of the comment become spaces.
 *
 * @throws RangeError when `blob` is not an Ed25519 key blob
 */
export function formatSshPublicKey(blob: Uint8Array, comment: string): string {
  if (keyOfBlob(blob) === null) {
    throw new RangeError(`blob must be an ${SSH_KEY_TYPE} key blob of 51 bytes (got ${blob.length} bytes)`);
  }
  return `${SSH_KEY_TYPE} ${Buffer.from(blob).toString('base64')} ${onOneLine(comment)}`.trimEnd();
}

/** A new key pair: the text of an unencrypted private key file (keep it at mode 0600) and its public key line. */
export function generateSshKey(comment: string): {
  readonly privateText: string;
  readonly publicLine: string;
} {
  const pair = generateKeyPairSync('ed25519', {
    publicKeyEncoding: { type: 'spki', format: 'der' },
    privateKeyEncoding: { type: 'pkcs8', format: 'der' },
  });
  const key = pair.publicKey.subarray(-KEY_BYTES);
  const blob = Buffer.concat([BLOB_HEAD, key]);
  const section = privateSection(pair.privateKey.subarray(-KEY_BYTES), key, onOneLine(comment));
  const none = sshString('none');
  const file = Buffer.concat([
    ...[PRIVATE_KEY_MAGIC, none, none, sshString('')],
    ...[sshUint32(1), sshString(blob), sshString(section)],
  ]);
  const privateText = sshArmor(PRIVATE_KEY_LABEL, file);
  for (const secret of [pair.privateKey, section, file]) secret.fill(0);
  return { privateText, publicLine: formatSshPublicKey(blob, comment) };
}

function privateSection(seed: Buffer, key: Buffer, comment: string): Buffer {
  // Twice the same number: how a reader of an encrypted file knows that the passphrase was right.
  const check = randomBytes(4);
  const fields = Buffer.concat([
    ...[check, check, sshString(SSH_KEY_TYPE), sshString(key)],
    ...[sshUint32(2 * KEY_BYTES), seed, key, sshString(comment)],
  ]);
  const missing = -fields.length & (BLOCK_BYTES - 1);
  const padded = Buffer.concat([fields, Buffer.from(Array.from({ length: missing }, (_, i) => i + 1))]);
  fields.fill(0);
  return padded;
}

function onOneLine(comment: string): string {
  return comment.replace(/[\p{Cc}\u2028\u2029]+/gu, ' ').trim();
}
