// Files with secrets in them, for the client: read only when nobody else can, and replaced in one step.

import { randomBytes } from 'node:crypto';
import { open, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { KnockError, messageOf, printable, systemCode, type KnockErrorCode } from '../lib/knocker.ts';

const MOST_BYTES = 256 * 1024;

/** What a file is, for messages, and the code of the error when it cannot be used. */
export interface PrivateFile {
  readonly path: string;
  readonly what: 'profile' | 'private key';
  readonly code: KnockErrorCode;
}

/** The text of a file that nobody else can read. @throws KnockError with the file's code */
export async function readPrivate({ path, what, code }: PrivateFile): Promise<string> {
  const shown = printable(path, 1000);
  try {
    const handle = await open(path, 'r');
    try {
      const { mode, size, uid } = await handle.stat();
      if (size > MOST_BYTES) {
        throw new KnockError(code, `${what} cannot be used: ${shown} has ${size} bytes (check the path)`);
      }
      const text = await handle.readFile('utf8');
      // Of keys, ssh judges only the user's own: secrets that a container mounts belong to root, mode 0444. A public
      // key is told apart later.
      const judged = what === 'profile' || (uid === process.getuid?.() && text.includes('PRIVATE KEY'));
      if (judged && (mode & 0o077) !== 0) {
        throw new KnockError(code, `${what} can be read by others: ${shown} (chmod 600 ${shown})`);
      }
      return text;
    } finally {
      await handle.close();
    }
  } catch (cause) {
    if (cause instanceof KnockError) throw cause;
    throw new KnockError(code, `${what} cannot be read: ${shown}: ${reasonOf(cause)} (check the path)`, {
      cause,
    });
  }
}

/** Writes a file that must not exist yet, mode 0600. @throws KnockError `ERR_EXISTS`, `ERR_WRITE` */
export async function writeNew(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text, { flag: 'wx', mode: 0o600, flush: true });
  } catch (cause) {
    const shown = printable(path, 1000);
    if (systemCode(cause) === 'EEXIST') {
      const advice = 'nothing was overwritten; remove it first if you mean it';
      throw new KnockError('ERR_EXISTS', `file exists already: ${shown} (${advice})`, { cause });
    }
    throw new KnockError(
      'ERR_WRITE',
      `file cannot be written: ${shown}: ${reasonOf(cause)} (check the path)`,
      {
        cause,
      },
    );
  }
}

/** Puts a text in a file's place, mode 0600: the old one is there, or the new one, whole. @throws KnockError `ERR_WRITE` */
export async function replacePrivate(path: string, text: string): Promise<void> {
  try {
    await writeWhole(await realpath(path), text);
  } catch (cause) {
    const shown = printable(path, 1000);
    const message = `file cannot be written: ${shown}: ${reasonOf(cause)} (nothing was changed)`;
    throw new KnockError('ERR_WRITE', message, { cause });
  }
}

/** Like {@link replacePrivate}, for a path that is no link; the file need not be there. @throws system errors */
export async function writeWhole(path: string, text: string): Promise<void> {
  const directory = dirname(path);
  const temporary = join(directory, `.${basename(path)}.${randomBytes(6).toString('hex')}`);
  try {
    const handle = await open(temporary, 'wx', 0o600);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  const parent = await open(directory, 'r');
  await parent.sync().finally(() => parent.close());
}

/** The system's word for a failure. */
export function reasonOf(cause: unknown): string {
  const code = systemCode(cause);
  if (code === 'ENOENT') return 'there is no such file';
  return printable(code === '' ? messageOf(cause) : code);
}
