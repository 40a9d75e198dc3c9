// What OpenSSL may refuse (MD5 on hosts in FIPS mode), by node-forge: the only module that uses it. It takes 27 ms to
// load, so it is loaded by the first call, which on most hosts never comes.

import { createRequire } from 'node:module';

interface Forge {
  readonly hmac: {
    create(): {
      start(digest: 'md5', key: string): void;
      update(bytes: string): void;
      digest(): { getBytes(): string };
    };
  };
}

const require = createRequire(import.meta.url);

/** HMAC-MD5 (RFC 2104) of `message`. */
export function hmacMd5(key: Uint8Array, message: Uint8Array): Buffer {
  const mac = (require('node-forge') as Forge).hmac.create();
  mac.start('md5', binary(key));
  mac.update(binary(message));
  return Buffer.from(mac.digest().getBytes(), 'latin1');
}

function binary(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}
