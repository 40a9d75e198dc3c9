// Encryption by password as `openssl enc -md md5` has it and fwknop took over (protocols/fwknop.md 1.3): AES-256 under a
// key and an IV that EVP_BytesToKey makes of password and salt by MD5. It authenticates nothing.

import { createCipheriv, createDecipheriv } from 'node:crypto';
import { hashOf } from './hashes.ts';

/** How the blocks hang together; CFB is CFB-128, CTR counts over the whole IV. */
export type AesMode = 'cbc' | 'ecb' | 'cfb' | 'ofb' | 'ctr';

/** Password and salt, and how the blocks hang together. */
export interface SaltedOptions {
  readonly mode: AesMode;
  readonly password: Uint8Array;
  /** 8 bytes. */
  readonly salt: Uint8Array;
}

export const SALT_BYTES = 8;
export const AES_BLOCK_BYTES = 16;
const KEY_BYTES = 32;

/** EVP_BytesToKey with MD5 and one round: the AES key and the IV. */
export function saltedKey(
  password: Uint8Array,
  salt: Uint8Array,
): { readonly key: Buffer; readonly iv: Buffer } {
  const parts: Buffer[] = [];
  let last: Buffer = Buffer.alloc(0);
  for (let length = 0; length < KEY_BYTES + AES_BLOCK_BYTES; length += last.length) {
    last = hashOf('md5', Buffer.concat([last, password, salt]));
    parts.push(last);
  }
  const all = Buffer.concat(parts);
  return { key: all.subarray(0, KEY_BYTES), iv: all.subarray(KEY_BYTES, KEY_BYTES + AES_BLOCK_BYTES) };
}

/** The ciphertext of `plain`, which is padded (PKCS #7) in every mode. */
export function encryptSalted({ mode, password, salt }: SaltedOptions, plain: Uint8Array): Buffer {
  const { key, iv } = saltedKey(password, salt);
  const cipher = createCipheriv(`aes-256-${mode}`, key, mode === 'ecb' ? null : iv).setAutoPadding(false);
  const padBytes = AES_BLOCK_BYTES - (plain.length % AES_BLOCK_BYTES);
  const padded = Buffer.concat([plain, Buffer.alloc(padBytes, padBytes)]);
  return Buffer.concat([cipher.update(padded), cipher.final()]);
}

/** What was encrypted; `null` when the ciphertext is no whole blocks, or the padding is wrong. */
export function decryptSalted(
  { mode, password, salt }: SaltedOptions,
  ciphertext: Uint8Array,
): Buffer | null {
  if (ciphertext.length === 0 || ciphertext.length % AES_BLOCK_BYTES !== 0) return null;
  const { key, iv } = saltedKey(password, salt);
  const cipher = createDecipheriv(`aes-256-${mode}`, key, mode === 'ecb' ? null : iv).setAutoPadding(false);
  const padded = Buffer.concat([cipher.update(ciphertext), cipher.final()]);
  const padBytes = padded.at(-1) ?? 0;
  if (padBytes < 1 || padBytes > AES_BLOCK_BYTES) return null;
  const end = padded.length - padBytes;
  return padded.subarray(end).every((byte) => byte === padBytes) ? padded.subarray(0, end) : null;
}
