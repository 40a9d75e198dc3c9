// How files that must not lose anything are read, made and replaced. A file is replaced by writing a new one beside it,
// making that durable and renaming it over the old one, so that at every instant one whole file has the name.

import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';

/** The calls that change something; tests put faults in between. */
export type Files = Pick<typeof fs, 'open' | 'rename' | 'unlink' | 'mkdir'>;
export const hostFiles: Files = fs;

const MODE = 0o600;
const WRITABLE_BY_OTHERS = 0o022;
// Without O_NONBLOCK opening a FIFO would wait for its other end.
const READ = constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const CREATE = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/**
 * Opens an existing file and reads it whole; `null` when there is none. The caller closes the handle.
 *
 * @throws what `refuse` makes of a file that is not to be trusted; system errors as they come
 */
export async function readFile(
  files: Files,
  path: string,
  refuse: (problem: string, remedy?: string) => Error,
): Promise<{ handle: FileHandle; bytes: Buffer } | null> {
  let handle: FileHandle | undefined;
  try {
    handle = await files.open(path, READ);
    const stat = await handle.stat();
    if (!stat.isFile()) throw refuse('it is not a regular file');
    if ((stat.mode & WRITABLE_BY_OTHERS) !== 0) throw refuse('others may write to it', 'run chmod 600 on it');
    const bytes = await handle.readFile();
    // A crash may have come between a rename and the sync of the directory: settle it before anything builds on it.
    await syncDirectory(files, path);
    return { handle, bytes };
  } catch (error) {
    await handle?.close();
    if (isAbsent(error)) return null;
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
  await writeAll(handle, bytes, position);
  await handle.datasync();
}

/** Writes all of `bytes` at `position`: they outlive this process, not yet a loss of power. */
export async function writeAll(handle: FileHandle, bytes: Buffer, position: number): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, written, bytes.length - written, position + written);
    if (bytesWritten === 0) throw new Error('the file takes no more bytes');
    written += bytesWritten;
  }
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
    if (!isAbsent(error)) throw error;
  }
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && (error as NodeJS.ErrnoException).code === 'ENOENT';
}
