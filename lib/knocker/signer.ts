// Who signs a client's knocks (protocols/spa.md, suite 2): a key file here, an ssh-agent in ssh-agent.ts, or anything
// else that can make an Ed25519 signature, such as a hardware token.

import { parseSshPrivateKey } from '../crypto/ssh-private.ts';

export { agentSigner, type AgentSignerOptions } from './ssh-agent.ts';

/** Makes Ed25519 signatures with one key. */
export interface Signer {
  /** The public key as SSH sends it: the bytes that `ssh-ed25519 AAAA...` spells in base64, 51 of them. */
  readonly publicKey: Uint8Array;
  /** The 64-byte Ed25519 signature of `message`, whatever that is. */
  sign(message: Uint8Array, options?: { readonly signal?: AbortSignal }): Promise<Uint8Array>;
}

/** {@link keySigner}'s options. */
export interface KeySignerOptions {
  /** Asked once, and only when the file is encrypted. What it throws is passed on. */
  readonly passphrase?: () => string | Promise<string>;
}

/**
 * A signer that holds the key of an OpenSSH private key file: `text` is the file's content. An encrypted file keeps the
 * event loop busy for 11 ms per round of its key derivation, of which there are 16 unless `ssh-keygen -a` said otherwise.
 *
 * @throws KnockError `ERR_KEY` when the text is not a usable Ed25519 key, `ERR_PASSWORD` when it is encrypted and the
 * passphrase is wrong or was not given
 * @example
 * ```ts
 * const signer = await keySigner(await readFile(path, 'utf8'), { passphrase: () => ask('passphrase: ') });
 * ```
 */
export async function keySigner(text: string, options: KeySignerOptions = {}): Promise<Signer> {
  const key = await parseSshPrivateKey(text, options.passphrase);
  return { publicKey: key.blob, sign: async (message) => key.sign(message) };
}
