// The one cipher of our wire formats, by node:crypto. It authenticates nothing: a MAC is always checked before.

import { createCipheriv } from 'node:crypto';

/** AES-256-CTR (SP 800-38A) of `bytes`, either way; `nonce` is the first counter block. */
export function ctr(key: Uint8Array, nonce: Uint8Array, bytes: Uint8Array): Buffer {
  return createCipheriv('aes-256-ctr', key, nonce).update(bytes);
}
