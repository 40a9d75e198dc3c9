// The grant journal: which grants may be open, recorded before the firewall opens them, so that a start after a crash
// knows which openings it finds are good and which are to be closed. One line a change: the first 8 hex digits of the
// SHA-256 of the rest, and JSON. A last line that was not finished is of a grant that was never opened.

import { hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import * as durable from '../durable.ts';
import { isKnockError, KnockError, messageOf, printable } from '../errors.ts';
import type { FirewallDriver, Grant } from '../firewall/driver.ts';
import { grantIn } from './record.ts';

/** What keeps the record. */
export interface GrantJournal {
  /** What may be open from an earlier run, oldest first. @throws KnockError `ERR_GRANT_JOURNAL` */
  open(context: { readonly warning: (message: string) => void }): Promise<readonly Grant[]>;
  /** Resolves when it is recorded. @throws KnockError `ERR_GRANT_JOURNAL`; the grants must not be opened then */
  add(grants: readonly Grant[]): Promise<void>;
  /** @throws KnockError `ERR_GRANT_JOURNAL`; nothing is lost then but time at the next start */
  remove(grants: readonly Grant[]): Promise<void>;
  close(): Promise<void>;
}

const HEAD = 'portknock grants 1\n';
const CHECK_DIGITS = 8;
/** Lines of grants that have ended, before the file is written anew. */
const MOST_DEAD = 1000;
const REMEDY = 'nothing is opened until it can be: make room, or let this user write there';

interface Waiting {
  readonly comes: readonly Grant[];
  readonly goes: readonly Grant[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** The journal that a listener's options ask for. */
export function journalFor({
  journal,
  driver,
}: {
  readonly journal?: string;
  readonly driver: FirewallDriver;
}): GrantJournal | null {
  return journal === undefined
    ? null
    : new FileJournal(journal, { outlivesHost: driver.endsByItself === false });
}

/** A journal in a file (0600), which only one process may have open. */
export class FileJournal implements GrantJournal {
  readonly #path: string;
  readonly #outlivesHost: boolean;
  readonly #files: durable.Files;
  readonly #live = new Map<string, Grant>();
  #handle: FileHandle | null = null;
  #bytes = 0;
  #lines = 0;
  /** A write failed: what the file holds after its last good line is unknown. */
  #broken = false;
  #waiting: Waiting[] = [];
  #drained: Promise<void> | null = null;

  /** `outlivesHost`: openings are not in this host's kernel, so a line has to outlive a loss of power as well. */
  constructor(
    path: string,
    {
      outlivesHost,
      files = durable.hostFiles,
    }: { readonly outlivesHost: boolean; readonly files?: durable.Files },
  ) {
    this.#path = path;
    this.#outlivesHost = outlivesHost;
    this.#files = files;
  }

  async open({ warning }: { readonly warning: (message: string) => void }): Promise<readonly Grant[]> {
    try {
      await durable.makeDirectory(this.#files, this.#path);
      const found = await durable.readFile(this.#files, this.#path, (problem) => new Error(problem));
      await found?.handle.close();
      const text = found?.bytes.toString('utf8') ?? HEAD;
      // One that a crash cut short within its first line holds nothing.
      if (!text.startsWith(HEAD) && !HEAD.startsWith(text))
        throw this.#failure(
          new Error('it is no journal of this version'),
          'move it away: openings of an earlier run end then',
        );
      const lost = this.#read(text);
      await this.#rewrite();
      if (lost > 0) {
        warning(
          `grant journal ${printable(this.#path)} was damaged, ${lost} lines are lost (grants that it does not name end)`,
        );
      }
      return [...this.#live.values()];
    } catch (error) {
      throw isKnockError(error) ? error : this.#failure(error);
    }
  }

  add(grants: readonly Grant[]): Promise<void> {
    return this.#change(grants, []);
  }

  remove(grants: readonly Grant[]): Promise<void> {
    return this.#change([], grants);
  }

  async close(): Promise<void> {
    await this.#drained;
    const handle = this.#handle;
    this.#handle = null;
    await handle?.close().catch(() => undefined);
  }

  /** Takes every good line; how many were none. */
  #read(text: string): number {
    const lines = text.slice(HEAD.length).split('\n');
    // What follows the last line's end.
    lines.pop();
    let lost = 0;
    for (const line of lines) {
      const entry = parseLine(line);
      if (entry === null) lost += 1;
      else if (typeof entry === 'string') this.#live.delete(entry);
      else this.#live.set(entry.id, entry);
    }
    return lost;
  }

  #change(comes: readonly Grant[], goes: readonly Grant[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ comes, goes, resolve, reject });
      this.#drained ??= this.#drain();
    });
  }

  /** Writes what waits, one batch after the other; what arrives during a write shares the next one. */
  async #drain(): Promise<void> {
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        await this.#commit(batch);
        for (const { resolve } of batch) resolve();
      } catch (error) {
        this.#broken = true;
        for (const { comes } of batch) for (const { id } of comes) this.#live.delete(id);
        for (const { reject } of batch) reject(this.#failure(error));
      }
    }
    this.#drained = null;
  }

  async #commit(batch: readonly Waiting[]): Promise<void> {
    const handle = this.#handle;
    if (handle === null) throw new Error('it is not open');
    const lines: string[] = [];
    for (const { comes, goes } of batch) {
      for (const grant of comes) {
        this.#live.set(grant.id, grant);
        lines.push(lineOf(grant));
      }
      for (const { id } of goes) if (this.#live.delete(id)) lines.push(lineOf(id));
    }
    // What is in memory includes the batch.
    if (this.#broken || this.#lines + lines.length > 3 * this.#live.size + MOST_DEAD) return this.#rewrite();
    const bytes = Buffer.from(lines.join(''));
    await durable.writeAll(handle, bytes, this.#bytes);
    if (this.#outlivesHost) await handle.datasync();
    this.#bytes += bytes.length;
    this.#lines += lines.length;
  }

  async #rewrite(): Promise<void> {
    const bytes = Buffer.from(HEAD + [...this.#live.values()].map(lineOf).join(''));
    const handle = await durable.replaceFile(this.#files, this.#path, bytes);
    await this.#handle?.close().catch(() => undefined);
    this.#handle = handle;
    this.#bytes = bytes.length;
    this.#lines = this.#live.size;
    this.#broken = false;
  }

  #failure(error: unknown, remedy = REMEDY): KnockError {
    const problem = printable(messageOf(error));
    return new KnockError(
      'ERR_GRANT_JOURNAL',
      `grant journal ${printable(this.#path)} cannot be kept: ${problem} (${remedy})`,
      { cause: error },
    );
  }
}

/** A grant that comes, or the id of one that goes. */
function lineOf(entry: Grant | string): string {
  const json = JSON.stringify(entry);
  return `${checkOf(json)} ${json}\n`;
}

function parseLine(line: string): Grant | string | null {
  const json = line.slice(CHECK_DIGITS + 1);
  if (line !== `${checkOf(json)} ${json}`) return null;
  try {
    const entry: unknown = JSON.parse(json);
    return typeof entry === 'string' ? entry : grantIn(entry);
  } catch {
    return null;
  }
}

function checkOf(json: string): string {
  return hash('sha256', json, 'hex').slice(0, CHECK_DIGITS);
}
