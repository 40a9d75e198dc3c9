// What node:crypto does not do everywhere: MD5 on hosts in FIPS mode and sealed profiles by node-forge, which runs where
// OpenSSL does not; OpenSSH's own key derivation by bcrypt-pbkdf. This is the only module that uses them. They take 27
// and 4 ms to load, so the first call loads them, which most runs never make.

import { createRequire } from 'node:module';

interface ForgeBytes {
  getBytes(): string;
}

interface ForgeCipher {
  readonly output: ForgeBytes;
  readonly mode: { readonly tag: ForgeBytes };
  start(options: {
    readonly iv: string;
    readonly additionalData: string;
    readonly tagLength: 128;
    readonly tag?: ForgeBytes;
  }): void;
  update(input: ForgeBytes): void;
  /** False when the tag does not fit. */
  finish(): boolean;
}

interface Forge {
  readonly md: {
    readonly md5: { create(): { update(bytes: string): void; digest(): ForgeBytes } };
  };
  readonly hmac: {
    create(): {
      start(digest: 'md5', key: string): void;
      update(bytes: string): void;
      digest(): ForgeBytes;
    };
  };
  readonly cipher: Readonly<
    Record<'createCipher' | 'createDecipher', (name: 'AES-GCM', key: string) => ForgeCipher>
  >;
  readonly pkcs5: {
    pbkdf2(
      ...args: [
        ...[password: string, salt: string, iterations: number, keyBytes: number, digest: 'sha256'],
        done: (error: Error | null, key: string) => void,
      ]
    ): void;
  };
  readonly util: { createBuffer(bytes: string): ForgeBytes };
}

interface Bcrypt {
  /** Fills `key`; 0 when it could. */
  pbkdf(
    ...args: [
      ...[password: Uint8Array, passwordBytes: number, salt: Uint8Array, saltBytes: number],
      ...[key: Uint8Array, keyBytes: number, rounds: number],
    ]
  ): number;
}

/** A key, a nonce and what else is bound: the inputs of AES-256-GCM besides the text. */
export interface GcmInput {
  /** 32 bytes. */
  readonly key: Uint8Array;
  /** 12 bytes, never used twice under one key. */
  readonly iv: Uint8Array;
  readonly additionalData: Uint8Array;
}

const GCM_TAG_BYTES = 16;

/** MD5 (RFC 1321) of `message`. */
export function md5(message: Uint8Array): Buffer {
  const digest = forge().md.md5.create();
  digest.update(binary(message));
  return bytesOf(digest.digest());
}

/** HMAC-MD5 (RFC 2104) of `message`. */
export function hmacMd5(key: Uint8Array, message: Uint8Array): Buffer {
  const mac = forge().hmac.create();
  mac.start('md5', binary(key));
  mac.update(binary(message));
  return bytesOf(mac.digest());
}

/** PBKDF2-HMAC-SHA256 (RFC 8018 section 5.2): 32 bytes. It runs beside the event loop where Node's own can be used. */
export function pbkdf2Sha256(options: {
  readonly password: Uint8Array;
  readonly salt: Uint8Array;
  readonly iterations: number;
}): Promise<Buffer> {
  const { password, salt, iterations } = options;
  return new Promise((resolve, reject) => {
    forge().pkcs5.pbkdf2(binary(password), binary(salt), iterations, 32, 'sha256', (error, key) => {
      if (error === null) resolve(Buffer.from(key, 'latin1'));
      else reject(error);
    });
  });
}

/** AES-256-GCM (SP 800-38D): the ciphertext of `plain` and behind it the tag of 16 bytes. */
export function sealGcm({ key, iv, additionalData }: GcmInput, plain: Uint8Array): Buffer {
  const { cipher, util } = forge();
  const sealing = cipher.createCipher('AES-GCM', binary(key));
  sealing.start({ iv: binary(iv), additionalData: binary(additionalData), tagLength: 128 });
  sealing.update(util.createBuffer(binary(plain)));
  sealing.finish();
  return Buffer.concat([bytesOf(sealing.output), bytesOf(sealing.mode.tag)]);
}

/** What {@link sealGcm} was given; `null` when a byte of anything differs. */
export function openGcm({ key, iv, additionalData }: GcmInput, sealed: Uint8Array): Buffer | null {
  if (sealed.length < GCM_TAG_BYTES) return null;
  const { cipher, util } = forge();
  const opening = cipher.createDecipher('AES-GCM', binary(key));
  opening.start({
    iv: binary(iv),
    additionalData: binary(additionalData),
    tagLength: 128,
    tag: util.createBuffer(binary(sealed.subarray(-GCM_TAG_BYTES))),
  });
  opening.update(util.createBuffer(binary(sealed.subarray(0, -GCM_TAG_BYTES))));
  return opening.finish() ? bytesOf(opening.output) : null;
}

/**
 * The key derivation of OpenSSH's private key files (bcrypt_pbkdf of OpenBSD): `keyBytes` bytes, or `null` when the
 * password or the salt is empty. The event loop stands still meanwhile: 11 ms a round for 48 bytes.
 */
export function bcryptPbkdf(options: {
  readonly password: Uint8Array;
  readonly salt: Uint8Array;
  readonly rounds: number;
  readonly keyBytes: number;
}): Buffer | null {
  const { password, salt, rounds, keyBytes } = options;
  const key = Buffer.alloc(keyBytes);
  const require = requireHere();
  const bcrypt = require('bcrypt-pbkdf') as Bcrypt;
  const failed = bcrypt.pbkdf(password, password.length, salt, salt.length, key, keyBytes, rounds);
  return failed === 0 ? key : null;
}

function forge(): Forge {
  const require = requireHere();
  return require('node-forge') as Forge;
}

// When it is called, not when this module is loaded, and by the first name where there is one: in a bundle that a user has
// made as CommonJS, import.meta.url is undefined, and most such bundles never come here.
function requireHere(): NodeJS.Require {
  return createRequire(typeof __filename === 'string' ? __filename : import.meta.url);
}

function bytesOf(bytes: ForgeBytes): Buffer {
  return Buffer.from(bytes.getBytes(), 'latin1');
}

function binary(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}
