// Files that a configuration names: read whole or not at all, and only when nobody else can do with them what would
// undo their purpose. Contents are never part of a message.

import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { resolve } from 'node:path';
import { printable, systemCode } from '../errors.ts';
import type { Section } from './section.ts';

/** A file as far as its use in a configuration is concerned. */
export interface HostFile {
  readonly text: string;
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly regular: boolean;
  /** False when there is more of it than was to be read. */
  readonly whole: boolean;
}

/** Reads a file of at most `most` bytes. @throws Node's system errors */
export type ReadHostFile = (path: string, most: number) => Promise<HostFile>;

/** Where files are, and how they are read. */
export interface FileContext {
  /** Paths are relative to this directory. */
  readonly directory: string;
  readonly read: ReadHostFile;
}

/** A file that a key of a section names. */
export interface NamedFile {
  readonly key: string;
  /** Its place in the key's list. */
  readonly index?: number | undefined;
  readonly name: string;
  /** `secret`: nobody else may read it. `trusted`: nobody else may change it. */
  readonly kind: 'secret' | 'trusted';
  readonly mostBytes: number;
}

const OTHERS_MAY = { secret: 0o077, trusted: 0o022 } as const;

/** The text of a file; `null` after reporting why it cannot be had. A file in the wrong hands is reported as well. */
export async function textOfFile(
  section: Section,
  { key, index, name, kind, mostBytes }: NamedFile,
  { directory, read }: FileContext,
): Promise<{ readonly path: string; readonly text: string } | null> {
  const path = resolve(directory, name);
  const shown = printable(path, 1000);
  const report = (problem: string, advice: string): null => {
    section.error(key, `${key} ${problem}: ${shown} (${advice})`, index);
    return null;
  };
  let file: HostFile;
  try {
    file = await read(path, mostBytes);
  } catch (error) {
    return report('cannot be read', adviceFor(systemCode(error), kind, shown));
  }
  if (!file.regular) return report('is not a file', 'name a file');
  if ((file.mode & OTHERS_MAY[kind]) !== 0) {
    if (kind === 'secret') report('can be read by others', `chmod 600 ${shown}`);
    else report('can be changed by others', `chmod go-w ${shown}`);
  }
  const uid = process.getuid?.() ?? file.uid;
  if (file.uid !== uid && file.uid !== 0) {
    report('belongs to another user', 'chown it to the user who runs portknockd');
  }
  return file.whole ? { path, text: file.text } : report('is too large', 'is it the right file?');
}

/** Text, mode and owner come from one open file, so that they belong together. */
export async function readHostFile(path: string, most: number): Promise<HostFile> {
  // Not to be held up by a pipe that somebody put there.
  const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const stat = await handle.stat();
    const regular = stat.isFile();
    const bytes = regular ? await readAtMost(handle, most + 1) : Buffer.alloc(0);
    const whole = bytes.length <= most;
    return { text: bytes.toString('utf8'), mode: permissionsOf(stat), uid: stat.uid, regular, whole };
  } finally {
    await handle.close();
  }
}

/** Where files have no such bits, they are not objected to: Windows shows all of them as open to everyone. */
export function permissionsOf({ mode }: { readonly mode: number }): number {
  return process.platform === 'win32' ? 0o600 : mode & 0o777;
}

async function readAtMost(handle: FileHandle, most: number): Promise<Buffer> {
  const buffer = Buffer.alloc(most);
  let length = 0;
  for (;;) {
    const { bytesRead } = await handle.read(buffer, length, most - length, length);
    length += bytesRead;
    if (bytesRead === 0 || length === most) return buffer.subarray(0, length);
  }
}

function adviceFor(code: string, kind: NamedFile['kind'], path: string): string {
  if (code === 'ENOENT' && kind === 'secret') {
    return `there is no such file: portknock keygen --secret --out ${path}`;
  }
  if (code === 'ENOENT') return 'there is no such file: check the path';
  if (code === 'EACCES') return 'permission denied: run as the user who owns it';
  return `${printable(code === '' ? 'unknown error' : code)}: check the path`;
}
