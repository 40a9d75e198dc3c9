// A replay file's faults, as the operator should see them. How files are read and replaced is in durable.ts.

import { constants } from 'node:fs';
import * as durable from '../durable.ts';
import { KnockError, messageOf, printable, systemCode } from '../errors.ts';

export { createFile, hostFiles, makeDirectory, replaceFile, writeAll, type Files } from '../durable.ts';

/**
 * The same, but every write to a file is on stable storage when it resolves: a record is handed to another thread once,
 * not once to be written and once more to be synced. A knock waits for that.
 */
export function syncedFiles(files: durable.Files): durable.Files {
  const open: durable.Files['open'] = (path, flags, mode) =>
    files.open(path, typeof flags === 'number' && isOfFile(flags) ? flags | constants.O_DSYNC : flags, mode);
  return { ...files, open };
}

function isOfFile(flags: number): boolean {
  return (flags & constants.O_DIRECTORY) === 0;
}

/** Opens an existing replay file and reads it whole; `null` when there is none. The caller closes the handle. */
export function readFile(files: durable.Files, path: string): ReturnType<typeof durable.readFile> {
  return durable.readFile(files, path, (problem, remedy) => unreadable(path, problem, remedy));
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
