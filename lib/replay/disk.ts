// How a replay file is read, made and replaced. A file is replaced by writing a new one beside it, making that durable
// and renaming it over the old one, so that at every instant one whole file has the name.

import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { KnockError, messageOf, printable, systemCode } from '../errors.ts';

/** The calls that change something; tests put faults in between. */
export type Files = Pick<typeof fs, 'open' | 'rename' | 'unlink' | 'mkdir'>;
export const hostFiles: Files = fs;

const MODE = 0o600;
const WRITABLE_BY_OTHERS = 0o022;
// Without O_NONBLOCK opening a FIFO would wait for its other end.
const READ = constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const CREATE = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/** Opens an existing replay file and reads it whole; `null` when there is none. The caller closes the handle. */
export async function readFile(
  files: Files,
  path: string,
): Promise<{ handle: FileHandle; bytes: Buffer } | null> {
  let handle: FileHandle | undefined;
  try {
    handle = await files.open(path, READ);
    const stat = await handle.stat();
    if (!stat.isFile()) throw unreadable(path, 'it is not a regular file');
    if ((stat.mode & WRITABLE_BY_OTHERS) !== 0)
      throw unreadable(path, 'others may write to it', 'run chmod 600 on it');
    const bytes = await handle.readFile();
    // A crash may have come between a rename and the sync of the directory: settle it before anything builds on it.
    await syncDirectory(files, path);
    return { handle, bytes };
  } catch (error) {
    await handle?.close();
    if (systemCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/** Replaces the file, or makes it; durable when it resolves. The caller closes the handle. */
export async function replaceFile(files: Files, path: string, bytes: Buffer): Promise<FileHandle> {
  const draft = `${path}.new`;
  await unlinkIfThere(files, draft);
  const handle = await files.open(draft, CREATE, MODE);
  try {
    await writeDurably(handle, bytes, 0);
    await files.rename(draft, path);
    await syncDirectory(files, path);
    return handle;
  } catch (error) {
    await handle.close().catch(() => undefined);
    await unlinkIfThere(files, draft).catch(() => undefined);
    throw error;
  }
}

/** Makes a file that must not be there yet; durable when it resolves. */
export async function createFile(files: Files, path: string, bytes: Buffer): Promise<void> {
  await makeDirectory(files, path);
  const handle = await files.open(path, CREATE, MODE);
  try {
    await writeDurably(handle, bytes, 0);
  } finally {
    await handle.close();
  }
  await syncDirectory(files, path);
}

/** Makes the directory that `path` is in, if it is missing, for its owner only. */
export async function makeDirectory(files: Files, path: string): Promise<void> {
  await files.mkdir(dirname(path), { recursive: true, mode: 0o700 });
}

/** Writes all of `bytes` at `position` and waits until they are on stable storage. */
export async function writeDurably(handle: FileHandle, bytes: Buffer, position: number): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, written, bytes.length - written, position + written);
    if (bytesWritten === 0) throw new Error('the file takes no more bytes');
    written += bytesWritten;
  }
  await handle.datasync();
}

/** The error of a replay file that cannot be used, with what to do about it. */
export function unreadable(path: string, problem: string, remedy?: string, cause?: unknown): KnockError {
  const text = `replay file ${printable(path)} cannot be used: ${problem} (${remedy ?? REMEDY})`;
  return new KnockError('ERR_REPLAY_UNREADABLE', text, cause === undefined ? undefined : { cause });
}

const REMEDY = 'move it away to start over: knocks are then refused until every old one has expired';

/** A system error of reading, as the operator should see it; a {@link KnockError} stays as it is. */
export function readError(path: string, error: unknown): Error {
  if (error instanceof KnockError) return error;
  switch (systemCode(error)) {
    case 'EISDIR':
      return unreadable(path, 'it is a directory', 'name a file', error);
    case 'ELOOP':
      return unreadable(path, 'it is a symbolic link', 'name the file itself', error);
    case 'ENOTDIR':
    case 'EEXIST':
      return unreadable(
        path,
        'its directory is not a directory',
        'name a file in a directory of its own',
        error,
      );
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return unreadable(
        path,
        `${systemCode(error)}, no permission`,
        'let this user read and write it',
        error,
      );
    default:
      return unreadable(path, printable(messageOf(error)), 'put its disk in order', error);
  }
}

/** The error of a replay file that could not be made durable; a {@link KnockError} stays as it is. */
export function writeError(path: string, error: unknown): KnockError {
  if (error instanceof KnockError) return error;
  const exists = systemCode(error) === 'EEXIST';
  const problem = exists ? 'it exists already' : printable(messageOf(error));
  const remedy = exists
    ? 'keep it: it holds the knocks that were accepted'
    : 'make room, or let this user write there';
  const text = `replay file ${printable(path)} cannot be written: ${problem} (${remedy})`;
  return new KnockError('ERR_REPLAY_WRITE', text, { cause: error });
}

async function syncDirectory(files: Files, path: string): Promise<void> {
  const directory = await files.open(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

async function unlinkIfThere(files: Files, path: string): Promise<void> {
  try {
    await files.unlink(path);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
}
