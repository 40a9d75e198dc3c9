// Secrets of a configuration: in the file itself when nobody else can read it, or in a file of their own. Whatever is
// wrong with one is said without showing any of it.

import { parseBase64 } from '../base64.ts';
import { printable } from '../errors.ts';
import { textOfFile, type FileContext } from './files.ts';
import type { Section } from './section.ts';

export interface SecretPlace {
  /** `secret` for the keys `secret` and `secret_file`. */
  readonly key: 'secret' | 'access_key' | 'key_base64' | 'hmac_key_base64';
  /** The name of its file's key where it is another. */
  readonly file?: 'key_file' | 'hmac_key_file';
  readonly bytes: readonly [least: number, most: number];
  /** Whether a list of them may stand there. */
  readonly list?: boolean;
}

export interface SecretContext extends FileContext {
  /** Whether others may read the configuration itself. */
  readonly exposed: boolean;
  readonly file: string;
}

/** How to make a secret. */
export const SECRET_COMMAND = 'portknock keygen --secret --out FILE';
const MOST_FILE_BYTES = 4096;

/** The secret of a section; `null` when there is none, or after reporting what is wrong with it. */
export async function secretOf(
  section: Section,
  place: Omit<SecretPlace, 'list'>,
  context: SecretContext,
): Promise<Buffer | null> {
  return (await secretsOf(section, place, context))[0] ?? null;
}

/** The secrets of a section, one or a list of them; what is wrong with any is reported. */
export async function secretsOf(
  section: Section,
  place: SecretPlace,
  context: SecretContext,
): Promise<readonly Buffer[]> {
  const { key: inline } = place;
  const file: string = place.file ?? `${inline}_file`;
  if (section.has(inline) && section.has(file)) {
    section.error(inline, `${inline} and ${file} are both given (keep one)`);
    return [];
  }
  const value = section.value(keyOf(section, place));
  const isList = place.list === true && Array.isArray(value);
  const values: readonly unknown[] = isList ? value : [value];
  const secrets: Buffer[] = [];
  for (const [index, each] of values.entries()) {
    // What is no text is the schema's business, as is the empty name of a file.
    if (typeof each !== 'string') continue;
    const stated = { ...place, value: each, ...(isList ? { index } : {}) };
    const secret = await oneSecret(section, stated, context);
    if (secret !== null) secrets.push(secret);
  }
  return secrets;
}

interface Stated extends SecretPlace {
  readonly value: string;
  readonly index?: number;
}

async function oneSecret(section: Section, stated: Stated, context: SecretContext): Promise<Buffer | null> {
  const { key: inline, value, index } = stated;
  const file: string = stated.file ?? `${inline}_file`;
  const key = keyOf(section, stated);
  if (key !== inline) {
    if (value === '') return null;
    const place = { key, index, name: value, kind: 'secret', mostBytes: MOST_FILE_BYTES } as const;
    const file = await textOfFile(section, place, context);
    return file === null ? null : decoded(section, stated, file.text.trim());
  }
  checkExposed(section, { key, file, index }, context);
  return decoded(section, stated, value);
}

/** A secret in the configuration itself, which others may be able to read. */
export function checkExposed(
  section: Section,
  { key, file, index }: { readonly key: string; readonly file: string; readonly index?: number | undefined },
  context: SecretContext,
): void {
  if (!context.exposed) return;
  const advice = `chmod 600 ${printable(context.file)}, or move it into a ${file}`;
  section.error(key, `${key} stands in a file that others can read (${advice})`, index);
}

function keyOf(section: Section, { key, file }: SecretPlace): string {
  const other: string = file ?? `${key}_file`;
  return section.has(other) ? other : key;
}

function decoded(section: Section, stated: Stated, text: string): Buffer | null {
  const [least, most] = stated.bytes;
  const key = keyOf(section, stated);
  const bytes = parseBase64(text);
  const rule = least === most ? `${least} bytes` : `${least} to ${most} bytes`;
  if (bytes !== null && bytes.length >= least && bytes.length <= most) return bytes;
  const problem =
    bytes === null
      ? `${key} must be base64 of ${rule}, and is not base64`
      : `${key} must be ${rule}, not ${bytes.length}`;
  section.error(key, `${problem} (make one with ${SECRET_COMMAND})`, stated.index);
  return null;
}

/** Whether anyone but the owner may do anything with a file of this mode. */
export function isExposed(mode: number): boolean {
  return (mode & 0o077) !== 0;
}
