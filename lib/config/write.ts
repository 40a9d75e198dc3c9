// Files that must be whole or not there: new ones are never put over old ones, and a changed one takes the old one's
// place in one step.

import { randomBytes } from 'node:crypto';
import { access, open, realpath, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { KnockError, messageOf, printable, systemCode } from '../errors.ts';

/** Writes files that must not exist yet, mode 0600; all or, when one fails, none. @throws KnockError `ERR_EXISTS`, `ERR_WRITE` */
export async function writeNewFiles(
  files: readonly { readonly path: string; readonly text: string }[],
): Promise<void> {
  const written: string[] = [];
  try {
    for (const { path, text } of files) {
      await writeNew(path, text);
      written.push(path);
    }
  } catch (error) {
    await removeFiles(written);
    throw error;
  }
}

/** Replaces a file's text in one step; it keeps its mode and owner. @throws KnockError `ERR_WRITE` */
export async function replaceFile(path: string, text: string): Promise<void> {
  let temporary = '';
  try {
    const target = await realpath(path);
    const old = await open(target, 'r');
    const { mode, uid, gid } = await old.stat().finally(() => old.close());
    temporary = join(dirname(target), `.${basename(target)}.${randomBytes(6).toString('hex')}`);
    const handle = await open(temporary, 'wx', 0o600);
    try {
      await handle.writeFile(text);
      await handle.chown(uid, gid);
      await handle.chmod(mode & 0o777);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, target);
    await syncDirectory(dirname(target));
  } catch (error) {
    if (temporary !== '') await removeFiles([temporary]);
    throw writeError(path, error);
  }
}

export async function removeFiles(paths: readonly string[]): Promise<void> {
  for (const path of paths) await rm(path, { force: true });
}

/** @throws KnockError `ERR_EXISTS` when any of the files is there */
export async function requireAbsent(paths: readonly string[]): Promise<void> {
  for (const path of paths) if (await exists(path)) throw existsError(path);
}

export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** The system's refusal to write `path`, in one line. */
export function writeError(path: string, cause: unknown): KnockError {
  const code = systemCode(cause);
  const why = printable(code === '' ? messageOf(cause) : code);
  const advice =
    code === 'EACCES' || code === 'EPERM' ? 'run as root, or choose another directory' : 'check the path';
  return new KnockError('ERR_WRITE', `file cannot be written: ${printable(path, 1000)}: ${why} (${advice})`, {
    cause,
  });
}

async function writeNew(path: string, text: string): Promise<void> {
  try {
    const handle = await open(path, 'wx', 0o600);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } catch (error) {
      await removeFiles([path]);
      throw error;
    } finally {
      await handle.close();
    }
    await syncDirectory(dirname(path));
  } catch (error) {
    throw systemCode(error) === 'EEXIST' ? existsError(path) : writeError(path, error);
  }
}

function existsError(path: string): KnockError {
  const advice = 'nothing was overwritten; remove it first if you mean it';
  return new KnockError('ERR_EXISTS', `file exists already: ${printable(path, 1000)} (${advice})`);
}

/** A new name is durable only with its directory. */
async function syncDirectory(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
