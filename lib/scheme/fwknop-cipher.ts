// What a packet of fwknop is wrapped in (protocols/fwknop.md 1.1, 1.3 and 1.5): salt and ciphertext in base64 without the
// ten characters that are the same in all, and the MAC behind. One packet has one spelling: what is not canonical
// base64 without padding is no packet, or one knock could be written in several ways.

import { formatBareBase64 } from '../base64.ts';
import { AES_BLOCK_BYTES, decryptSalted, encryptSalted, SALT_BYTES, type AesMode } from '../crypto/salted.ts';

/** How a packet is encrypted; `legacy` is the CBC of clients before fwknop 2.5. */
export type EncryptionMode = 'cbc' | 'ecb' | 'cfb' | 'ofb' | 'ctr' | 'legacy';
export const ENCRYPTION_MODES = ['cbc', 'ecb', 'cfb', 'ofb', 'ctr', 'legacy'] as const;

/** Characters of a packet. fwknop takes what is longer for a GPG packet, and drops what is shorter or beyond 1500. */
export const LEAST_CHARACTERS = 140;
export const MOST_CHARACTERS = 399;
export const MOST_GPG_CHARACTERS = 1500;

/** Base64 of `Salted__` as far as the salt has no part in it: never sent, and always covered by the MAC. */
export const PREFIX = 'U2FsdGVkX1';
const HEADER = Buffer.from('Salted__', 'latin1');
/** The last of the salt's eight header bytes reaches into the first character that is sent. */
const FIRST = /^[89+/]/u;

const PASSWORD_LEGACY_BYTES = 16;
const LEGACY_PAD = 0x30;

const BINARY = 0;
const TEXT = 1;
const BASE64 = 2;
const KINDS = Uint8Array.from({ length: 256 }, (_, byte) => {
  if (/^[A-Za-z0-9+/]$/u.test(String.fromCharCode(byte))) return BASE64;
  return (byte >= 0x20 && byte < 0x7f) || byte === 0x0a || byte === 0x0d || byte === 0x09 ? TEXT : BINARY;
});

/** What bytes are made of: base64's own characters; other text, which a packet may once have been; anything else. */
export function spellingOf(bytes: Buffer, start: number, end: number): 'base64' | 'text' | 'binary' {
  let least = BASE64;
  for (let i = start; i < end; i += 1) {
    const kind = KINDS[bytes[i] ?? 0] ?? BINARY;
    if (kind === BINARY) return 'binary';
    if (kind < least) least = kind;
  }
  return least === BASE64 ? 'base64' : 'text';
}

/** Whether a packet that starts so can be what {@link PREFIX} was cut from. */
export function startsSalted(packet: string): boolean {
  return FIRST.test(packet);
}

/** Whether so many characters, {@link PREFIX} included, are base64 of header, salt and whole blocks. */
export function isEnvelope(characters: number): boolean {
  const bytes = Math.floor((characters * 3) / 4);
  const blocks = bytes - HEADER.length - SALT_BYTES;
  return bareLength(bytes) === characters && blocks > 0 && blocks % AES_BLOCK_BYTES === 0;
}

/** How many characters base64 without padding makes of so many bytes. */
export function bareLength(bytes: number): number {
  return Math.ceil((bytes * 4) / 3);
}

/** Encrypts: the base64 text from {@link PREFIX} on. */
export function wrap(
  plain: Uint8Array,
  cipher: { readonly mode: EncryptionMode; readonly key: Uint8Array; readonly salt: Uint8Array },
): string {
  const { mode, key, salt } = cipher;
  const ciphertext = encryptSalted({ mode: aesOf(mode), password: passwordOf(mode, key), salt }, plain);
  return formatBareBase64(Buffer.concat([HEADER, salt, ciphertext]));
}

/** Decrypts what {@link wrap} made, decoded from base64; `null` when key, mode or padding do not fit. */
export function unwrap(
  envelope: Buffer,
  { mode, key }: { readonly mode: EncryptionMode; readonly key: Uint8Array },
): Buffer | null {
  const salt = envelope.subarray(HEADER.length, HEADER.length + SALT_BYTES);
  const options = { mode: aesOf(mode), password: passwordOf(mode, key), salt };
  return decryptSalted(options, envelope.subarray(HEADER.length + SALT_BYTES));
}

/** The authenticated bytes by which one packet is told from every other: salt and ciphertext. */
export function ownBytes(envelope: Buffer): Buffer {
  return envelope.subarray(HEADER.length);
}

function aesOf(mode: EncryptionMode): AesMode {
  return mode === 'legacy' ? 'cbc' : mode;
}

/** Legacy clients cut passwords off at 16 bytes, and fill shorter ones up with the character 0. */
function passwordOf(mode: EncryptionMode, key: Uint8Array): Uint8Array {
  if (mode !== 'legacy') return key;
  const password = Buffer.alloc(PASSWORD_LEGACY_BYTES, LEGACY_PAD);
  password.set(key.subarray(0, PASSWORD_LEGACY_BYTES));
  return password;
}
