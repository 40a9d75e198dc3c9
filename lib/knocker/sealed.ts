// A profile under a password: JSON that any machine can open. The key is PBKDF2-HMAC-SHA256 of the password (UTF-8, NFC),
// 32 bytes; `data` is AES-256-GCM's ciphertext and tag; bound to it is the object without `data`, as compact JSON in this
// order of keys.

import { randomBytes } from 'node:crypto';
import { parseBase64 } from '../base64.ts';
import { openGcm, pbkdf2Sha256, sealGcm } from '../crypto/legacy.ts';
import { KnockError } from '../errors.ts';

interface Header {
  readonly portknock: 1;
  readonly sealed: typeof METHOD;
  readonly iterations: number;
  /** base64 */
  readonly salt: string;
  /** base64 */
  readonly iv: string;
}

const METHOD = 'pbkdf2-sha256 aes-256-gcm';
const KEYS = ['portknock', 'sealed', 'iterations', 'salt', 'iv', 'data'];
const ITERATIONS = 600_000;
// Fewer are no protection; more would keep a machine busy for as long as the file's author likes (4 s for these).
const [FEWEST_ITERATIONS, MOST_ITERATIONS] = [100_000, 10_000_000];
const SALT_BYTES = 16;
const IV_BYTES = 12;
const TAG_BYTES = 16;
const MOST_BYTES = 64 * 1024;

/**
 * Seals the text of a profile, at most 64 KiB, with a password. Sealing the same text again gives other bytes.
 *
 * @throws KnockError `ERR_PASSWORD` when the password is empty, RangeError when the text is too long
 */
export async function sealProfile(profileText: string, password: string): Promise<string> {
  const plain = Buffer.from(profileText, 'utf8');
  if (plain.length > MOST_BYTES) {
    throw new RangeError(`profileText must be at most ${MOST_BYTES} bytes (got ${plain.length})`);
  }
  if (password === '')
    throw new KnockError('ERR_PASSWORD', 'password is empty (choose one that nobody guesses)');
  const [salt, iv] = [randomBytes(SALT_BYTES), randomBytes(IV_BYTES)];
  const header: Header = {
    portknock: 1,
    sealed: METHOD,
    iterations: ITERATIONS,
    salt: salt.toString('base64'),
    iv: iv.toString('base64'),
  };
  const key = await keyOf(password, salt, ITERATIONS);
  const data = sealGcm({ key, iv, additionalData: bound(header) }, plain);
  for (const secret of [key, plain]) secret.fill(0);
  return `${JSON.stringify({ ...header, data: data.toString('base64') }, null, 2)}\n`;
}

/** Whether a text is a sealed profile (perhaps a damaged one) rather than an open one. */
export function isSealed(text: string): boolean {
  const fields = fieldsOf(text);
  return fields !== null && Object.hasOwn(fields, 'sealed');
}

/**
 * The text of a sealed profile.
 *
 * @throws KnockError `ERR_PROFILE` when the text is not a sealed profile, `ERR_PASSWORD` when the password is wrong
 */
export async function openSealed(text: string, password: string): Promise<string> {
  const { header, salt, iv, data } = partsOf(text);
  const key = await keyOf(password, salt, header.iterations);
  const plain = openGcm({ key, iv, additionalData: bound(header) }, data);
  key.fill(0);
  if (plain === null) {
    throw new KnockError('ERR_PASSWORD', 'password of the profile is wrong (type it again)');
  }
  const opened = plain.toString('utf8');
  plain.fill(0);
  return opened;
}

function partsOf(text: string): {
  readonly header: Header;
  readonly salt: Buffer;
  readonly iv: Buffer;
  readonly data: Buffer;
} {
  const fields = fieldsOf(text) ?? refuse('the text is not a JSON object');
  if (fields.portknock !== 1) refuse('portknock must be 1, the version of the format');
  if (fields.sealed !== METHOD) refuse(`sealed must be ${METHOD}`);
  if (Object.keys(fields).some((key) => !KEYS.includes(key))) refuse(`keys must be ${KEYS.join(', ')}`);
  const { iterations } = fields;
  const inRange =
    typeof iterations === 'number' && iterations >= FEWEST_ITERATIONS && iterations <= MOST_ITERATIONS;
  if (!inRange || !Number.isInteger(iterations)) {
    refuse(`iterations must be a whole number from ${FEWEST_ITERATIONS} to ${MOST_ITERATIONS}`);
  }
  const salt = bytesOf(fields, 'salt', [SALT_BYTES, SALT_BYTES]);
  const iv = bytesOf(fields, 'iv', [IV_BYTES, IV_BYTES]);
  const data = bytesOf(fields, 'data', [TAG_BYTES, MOST_BYTES + TAG_BYTES]);
  const [saltText, ivText] = [salt.toString('base64'), iv.toString('base64')];
  return { header: { portknock: 1, sealed: METHOD, iterations, salt: saltText, iv: ivText }, salt, iv, data };
}

function bytesOf(
  fields: Readonly<Record<string, unknown>>,
  name: string,
  [least, most]: readonly [number, number],
): Buffer {
  const value = fields[name];
  const bytes = typeof value === 'string' ? parseBase64(value) : null;
  if (bytes !== null && bytes.length >= least && bytes.length <= most) return bytes;
  return refuse(`${name} must be base64 of ${least === most ? least : `${least} to ${most}`} bytes`);
}

function keyOf(password: string, salt: Buffer, iterations: number): Promise<Buffer> {
  return pbkdf2Sha256({ password: Buffer.from(password.normalize('NFC'), 'utf8'), salt, iterations });
}

function bound({ portknock, sealed, iterations, salt, iv }: Header): Buffer {
  return Buffer.from(JSON.stringify({ portknock, sealed, iterations, salt, iv }), 'utf8');
}

function fieldsOf(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Readonly<Record<string, unknown>>) : null;
  } catch {
    return null;
  }
}

function refuse(problem: string): never {
  throw new KnockError(
    'ERR_PROFILE',
    `sealed profile cannot be used: ${problem} (seal it anew, or restore it from a copy)`,
  );
}
