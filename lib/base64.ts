// Secrets as text: strict base64 (RFC 4648 section 4, padded, canonical), so that one secret has one spelling.

/** The bytes of canonical base64 text; `null` for anything else. */
export function parseBase64(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64');
  return text !== '' && bytes.toString('base64') === text ? bytes : null;
}

/** Base64 without the padding, as fwknop writes it. */
export function formatBareBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64').replace(/=+$/u, '');
}

/** The bytes of canonical base64 without padding (of none: none); `null` for anything else. */
export function parseBareBase64(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64');
  return formatBareBase64(bytes) === text ? bytes : null;
}
