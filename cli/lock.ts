// One `portknock` at a time for one state file, so that two do not use the same value. Node has no flock: a file that
// only one can make. It is held for milliseconds, so one that is older was left by a process that died, and nobody
// waits longer than a second: a knock that may be refused is better than none. Time in which this process stood still
// does not count: it has not looked meanwhile.

import { randomBytes } from 'node:crypto';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { systemCode } from '../lib/knocker.ts';

const PATIENCE_MS = 1000;
const STALE_MS = 2000;
const PAUSE_MS = 10;

/** {@link lockFile}'s options. */
export interface LockOptions {
  readonly patienceMs?: number;
  /** Of one that is older nobody is left to give it back. */
  readonly staleMs?: number;
}

/** Takes the lock if it can be had; gives it back when the result is called. Never rejects. */
export async function lockFile(
  path: string,
  { patienceMs = PATIENCE_MS, staleMs = STALE_MS }: LockOptions = {},
): Promise<() => Promise<void>> {
  const mark = randomBytes(8).toString('hex');
  for (let waitedMs = 0; waitedMs < patienceMs; waitedMs += PAUSE_MS) {
    try {
      await writeFile(path, mark, { flag: 'wx', mode: 0o600 });
      return () => release(path, mark);
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') break;
    }
    if (await isStale(path, staleMs)) await rm(path, { force: true }).catch(() => undefined);
    else await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  return () => Promise.resolve();
}

/** Somebody who took us for dead may have it by now. */
async function release(path: string, mark: string): Promise<void> {
  const found = await readFile(path, 'latin1').catch(() => '');
  if (found === mark) await rm(path, { force: true }).catch(() => undefined);
}

/** A time in the future comes of a clock that was set. */
async function isStale(path: string, staleMs: number): Promise<boolean> {
  const madeMs = await stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => Date.now(),
  );
  return Math.abs(Date.now() - madeMs) > staleMs;
}
