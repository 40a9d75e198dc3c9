// Files that must be whole or not there: new ones are never put over old ones, and a changed one takes the old one's
// place in one step.

import type { Stats } from 'node:fs';
import { access, open, realpath, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { KnockError, messageOf, printable, systemCode } from '../errors.ts';

/** A file to be made; mode 0600 unless said. */
export interface NewFile {
  readonly path: string;
  readonly text: string;
  readonly mode?: number;
}

/** Writes files that must not exist yet; all or, when one fails, none. @throws KnockError `ERR_EXISTS`, `ERR_WRITE` */
export async function writeNewFiles(files: readonly NewFile[]): Promise<void> {
  const written: string[] = [];
  try {
    for (const file of files) {
      await writeNew(file);
      written.push(file.path);
    }
  } catch (error) {
    await removeFiles(written);
    throw error;
  }
}

/**
 * Replaces the text `from` of a file by `to`, in one step; it keeps its mode and owner. The file that takes its place
 * has a name of its own while it is written, so that of two who do this at once one is refused.
 *
 * @throws KnockError `ERR_WRITE`, also when the text is another one now; nothing has changed then
 */
export async function replaceFile(path: string, { from, to }: { from: string; to: string }): Promise<void> {
  let ours = '';
  try {
    const target = await realpath(path);
    const next = join(dirname(target), `.${basename(target)}.lock`);
    const handle = await open(next, 'wx', 0o600).catch((error: unknown) => {
      throw systemCode(error) === 'EEXIST' ? lockedError(path, next) : error;
    });
    ours = next;
    try {
      const { mode, uid, gid } = await requireText(target, from);
      await handle.writeFile(to);
      await handle.chown(uid, gid);
      await handle.chmod(mode & 0o777);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(next, target);
    ours = '';
    await syncDirectory(dirname(target));
  } catch (error) {
    if (ours !== '') await removeFiles([ours]);
    throw error instanceof KnockError ? error : writeError(path, error);
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

async function writeNew({ path, text, mode = 0o600 }: NewFile): Promise<void> {
  try {
    const handle = await open(path, 'wx', mode);
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

/** What a file's status is while it has the text. */
async function requireText(path: string, text: string): Promise<Stats> {
  const handle = await open(path, 'r');
  try {
    const stats = await handle.stat();
    if ((await handle.readFile('utf8')) === text) return stats;
  } finally {
    await handle.close();
  }
  const message = `file was changed by somebody else meanwhile: ${printable(path, 1000)}`;
  throw new KnockError('ERR_WRITE', `${message} (nothing was written; do it once more)`);
}

function lockedError(path: string, lock: string): KnockError {
  const advice = `do it once more; if nobody does, remove ${printable(lock, 1000)}`;
  const message = `file is being changed by somebody else: ${printable(path, 1000)}`;
  return new KnockError('ERR_WRITE', `${message} (${advice})`);
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
