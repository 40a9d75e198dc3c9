// The encrypted part of an OpenSSH private key file (OpenSSH's PROTOCOL.key, section 2): the key and the IV are derived
// from the passphrase in one piece, and the tag of AES-GCM follows behind the encrypted string instead of in it.

import { createDecipheriv } from 'node:crypto';
import { bcryptPbkdf } from './legacy.ts';

/** Ciphers of `ssh-keygen -Z` that we read. */
export type SshCipher = keyof typeof CIPHERS;

/** An encrypted section with all that is needed to decrypt it but the passphrase. */
export interface EncryptedSection {
  readonly cipher: SshCipher;
  readonly salt: Uint8Array;
  /** Rounds of the key derivation. */
  readonly rounds: number;
  readonly bytes: Buffer;
  /** What follows behind it. */
  readonly tag: Buffer;
}

const BLOCK_BYTES = 16;
const CIPHERS = {
  'aes256-ctr': { openssl: 'aes-256-ctr', keyBytes: 32, ivBytes: 16, tagBytes: 0 },
  'aes192-ctr': { openssl: 'aes-192-ctr', keyBytes: 24, ivBytes: 16, tagBytes: 0 },
  'aes128-ctr': { openssl: 'aes-128-ctr', keyBytes: 16, ivBytes: 16, tagBytes: 0 },
  'aes256-cbc': { openssl: 'aes-256-cbc', keyBytes: 32, ivBytes: 16, tagBytes: 0 },
  'aes192-cbc': { openssl: 'aes-192-cbc', keyBytes: 24, ivBytes: 16, tagBytes: 0 },
  'aes128-cbc': { openssl: 'aes-128-cbc', keyBytes: 16, ivBytes: 16, tagBytes: 0 },
  'aes256-gcm@openssh.com': { openssl: 'aes-256-gcm', keyBytes: 32, ivBytes: 12, tagBytes: 16 },
  'aes128-gcm@openssh.com': { openssl: 'aes-128-gcm', keyBytes: 16, ivBytes: 12, tagBytes: 16 },
} as const;

/** Whether a cipher's name is one that {@link decryptSection} takes. */
export function isSshCipher(name: string): name is SshCipher {
  return Object.hasOwn(CIPHERS, name);
}

/** Whether the lengths can be those of this cipher. */
export function fitsCipher({ cipher, bytes, tag }: EncryptedSection): boolean {
  const { tagBytes } = CIPHERS[cipher];
  return bytes.length > 0 && bytes.length % BLOCK_BYTES === 0 && tag.length === tagBytes;
}

/**
 * The plain section, which a wrong passphrase makes noise; `null` when the passphrase is empty, or the tag of a cipher
 * that has one tells that it is wrong. For sections that {@link fitsCipher} passed.
 */
export function decryptSection(section: EncryptedSection, passphrase: string): Buffer | null {
  const { openssl, keyBytes, ivBytes, tagBytes } = CIPHERS[section.cipher];
  const { salt, rounds, bytes, tag } = section;
  const password = Buffer.from(passphrase, 'utf8');
  const derived = bcryptPbkdf({ password, salt, rounds, keyBytes: keyBytes + ivBytes });
  password.fill(0);
  if (derived === null) return null;
  const [key, iv] = [derived.subarray(0, keyBytes), derived.subarray(keyBytes)];
  try {
    if (openssl !== 'aes-256-gcm' && openssl !== 'aes-128-gcm') {
      return createDecipheriv(openssl, key, iv).setAutoPadding(false).update(bytes);
    }
    const decipher = createDecipheriv(openssl, key, iv, { authTagLength: tagBytes }).setAuthTag(tag);
    const plain = decipher.update(bytes);
    return opens(decipher) ? plain : null;
  } finally {
    derived.fill(0);
  }
}

function opens(decipher: { final(): Buffer }): boolean {
  try {
    decipher.final();
    return true;
  } catch {
    return false;
  }
}
