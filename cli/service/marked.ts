// Files that `portknock install-service` writes, and writes again: told from others' by their first line, which also
// says whether they are still as they were written.

import { createHash } from 'node:crypto';
import { chmod, mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { KnockError, printable, systemCode } from '../../lib/knocker.ts';
import { reasonOf, writeWhole } from '../private-file.ts';

/** What is to stand where. */
export interface MarkedFile {
  readonly path: string;
  /** Without the first line. */
  readonly text: string;
}

const MARK = /^# Written by portknock install-service \S+ \(([0-9a-f]{16})\).*\n/u;

/** A file's whole text. */
export function marked(text: string, version: string): string {
  const note = 'a change of yours belongs beside it (systemctl edit portknockd)';
  return `# Written by portknock install-service ${version} (${digestOf(text)}): ${note}.\n${text}`;
}

/**
 * Writes the files, each in one step; resolves to those that were not as they should be. All are looked at before the
 * first is touched.
 *
 * @throws KnockError `ERR_EXISTS` for one that is not ours or was changed, unless `force`; `ERR_WRITE`
 */
export async function writeMarked(
  files: readonly MarkedFile[],
  { version, force }: { readonly version: string; readonly force: boolean },
): Promise<readonly string[]> {
  const changed: MarkedFile[] = [];
  for (const file of files) {
    const found = await textOf(file.path);
    const text = marked(file.text, version);
    if (found === text) continue;
    if (found !== null && !force) requireOurs(file.path, found);
    changed.push({ ...file, text });
  }
  for (const { path, text } of changed) {
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o755 });
      await writeWhole(path, text);
      // Nothing in it is secret, and systemd wants to show it to anyone.
      await chmod(path, 0o644);
    } catch (error) {
      throw writeError(path, error);
    }
  }
  return changed.map(({ path }) => path);
}

function requireOurs(path: string, text: string): void {
  const [line, digest] = MARK.exec(text) ?? [];
  if (line !== undefined && digest === digestOf(text.slice(line.length))) return;
  const what = line === undefined ? 'is not of portknock install-service' : 'was changed by hand';
  const message = `file ${what}: ${printable(path, 1000)} (nothing was written; move it away, or add --force)`;
  throw new KnockError('ERR_EXISTS', message);
}

async function textOf(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null;
    throw writeError(path, error);
  }
}

function writeError(path: string, cause: unknown): KnockError {
  const message = `file cannot be written: ${printable(path, 1000)}: ${reasonOf(cause)} (run as root)`;
  return new KnockError('ERR_WRITE', message, { cause });
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}
