// Signatures of knocks: SSHSIG (OpenSSH's PROTOCOL.sshsig) under the namespace "portknock", so that a key used here
// signs nothing that another program would take for a login, a commit or a file (protocols/spa.md, T2).

import { createPublicKey, hash, verify, type KeyObject } from 'node:crypto';
import { sshString, sshUint32 } from './ssh-wire.ts';

const HASH = 'sha512';
const HASH_BYTES = 64;
// Only the hash at the end differs from message to message.
const HEAD = Buffer.concat([
  ...[Buffer.from('SSHSIG', 'latin1'), sshString('portknock'), sshString('')],
  ...[sshString(HASH), sshUint32(HASH_BYTES)],
]);
// The algorithm's name and the framing of a raw key (RFC 8410 section 4).
const SPKI_HEAD = Buffer.from('302a300506032b6570032100', 'hex');

/** The bytes that are signed for `message`. */
export function sshsigBlob(message: Uint8Array): Buffer {
  return Buffer.concat([HEAD, hash(HASH, message, 'buffer')]);
}

/** Whether `signature` is the key's 64-byte Ed25519 signature of the SSHSIG bytes of `message`. */
export function verifySshsig(key: KeyObject, message: Uint8Array, signature: Uint8Array): boolean {
  return verify(null, sshsigBlob(message), key, signature);
}

/**
 * The key object for the 32 bytes of an Ed25519 public key.
 *
 * @throws RangeError when `raw` has another length
 */
export function ed25519PublicKey(raw: Uint8Array): KeyObject {
  if (raw.length !== 32) throw new RangeError(`raw must be 32 bytes (got ${raw.length})`);
  return createPublicKey({ key: Buffer.concat([SPKI_HEAD, raw]), format: 'der', type: 'spki' });
}
