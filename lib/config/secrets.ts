// Secrets of a configuration: in the file itself when nobody else can read it, or in a file of their own. Whatever is
// wrong with one is said without showing any of it.

import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { parseBase64 } from '../base64.ts';
import { printable, systemCode } from '../errors.ts';
import type { Section } from './section.ts';

/** A file as far as secrets are concerned. */
export interface SecretFile {
  readonly text: string;
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly regular: boolean;
}

/** Reads a secret file. @throws Node's system errors */
export type ReadSecretFile = (path: string) => Promise<SecretFile>;

export interface SecretPlace {
  /** `secret` for the keys `secret` and `secret_file`. */
  readonly key: 'secret' | 'access_key';
  readonly bytes: readonly [least: number, most: number];
}

export interface SecretContext {
  /** Paths are relative to this directory. */
  readonly directory: string;
  /** Whether others may read the configuration itself. */
  readonly exposed: boolean;
  readonly file: string;
  readonly read: ReadSecretFile;
}

const MOST_FILE_BYTES = 4096;
const OTHERS = 0o077;

/** The secret of a section; `null` when there is none, or after reporting what is wrong with it. */
export async function secretOf(
  section: Section,
  place: SecretPlace,
  context: SecretContext,
): Promise<Buffer | null> {
  const inline = section.value(place.key);
  const fileKey = `${place.key}_file`;
  const name = section.value(fileKey);
  if (section.has(place.key) && section.has(fileKey)) {
    section.error(place.key, `${place.key} and ${fileKey} are both given (keep one)`);
    return null;
  }
  if (typeof name === 'string' && name !== '') return fromFile(section, place, name, context);
  if (typeof inline !== 'string') return null;
  if (context.exposed) {
    const advice = `chmod 600 ${printable(context.file)}, or move it into a ${fileKey}`;
    section.error(place.key, `${place.key} stands in a file that others can read (${advice})`);
  }
  return decoded(section, place, place.key, inline);
}

/** Whether anyone but the owner may do anything with a file of this mode. */
export function isExposed(mode: number): boolean {
  return (mode & OTHERS) !== 0;
}

/** Mode, owner and text come from one open file, so that they belong together. */
export async function readSecretFile(path: string): Promise<SecretFile> {
  // Not to be held up by a pipe that somebody put there.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = await handle.stat();
    const regular = stat.isFile();
    const buffer = Buffer.alloc(MOST_FILE_BYTES);
    const { bytesRead } = regular ? await handle.read(buffer, 0, MOST_FILE_BYTES, 0) : { bytesRead: 0 };
    return { text: buffer.toString('latin1', 0, bytesRead), mode: stat.mode & 0o777, uid: stat.uid, regular };
  } finally {
    await handle.close();
  }
}

async function fromFile(
  section: Section,
  place: SecretPlace,
  name: string,
  context: SecretContext,
): Promise<Buffer | null> {
  const key = `${place.key}_file`;
  const path = resolve(context.directory, name);
  const shown = printable(path, 1000);
  let file: SecretFile;
  try {
    file = await context.read(path);
  } catch (error) {
    section.error(key, `${key} cannot be read: ${shown} (${adviceFor(systemCode(error), shown)})`);
    return null;
  }
  if (!file.regular) {
    section.error(key, `${key} is not a file: ${shown} (name a file)`);
    return null;
  }
  if (isExposed(file.mode)) section.error(key, `${key} can be read by others: ${shown} (chmod 600 ${shown})`);
  const uid = process.getuid?.() ?? file.uid;
  if (file.uid !== uid && file.uid !== 0) {
    section.error(key, `${key} belongs to another user: ${shown} (chown it to the user who runs portknockd)`);
  }
  return decoded(section, place, key, file.text.trim());
}

function decoded(
  section: Section,
  { bytes: [least, most] }: SecretPlace,
  key: string,
  text: string,
): Buffer | null {
  const bytes = parseBase64(text);
  const rule = least === most ? `${least} bytes` : `${least} to ${most} bytes`;
  if (bytes === null) {
    section.error(
      key,
      `${key} must be base64 of ${rule}, and is not base64 (make one with portknock keygen)`,
    );
  } else if (bytes.length < least || bytes.length > most) {
    section.error(key, `${key} must be ${rule}, not ${bytes.length} (make one with portknock keygen)`);
  } else {
    return bytes;
  }
  return null;
}

function adviceFor(code: string, path: string): string {
  if (code === 'ENOENT') return `there is no such file: portknock keygen --out ${path}`;
  if (code === 'EACCES') return 'permission denied: run as the user who owns it';
  return `${printable(code === '' ? 'unknown error' : code)}: check the path`;
}
