// One process per replay file. Node has no flock, so each opener announces itself with a file whose *name* says who it
// is (pid, start time, boot), and then looks for living others: of two that start at once at least one sees the other.
// A name is written in one step and never used twice, so a dead process's file can be removed without a race.

import { open, readFile, readdir, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { KnockError, printable, systemCode } from '../errors.ts';

interface Owner {
  readonly pid: number;
  /** Clock ticks since boot, or 0 where there is no /proc. */
  readonly start: string;
  /** First digits of the kernel's boot id. */
  readonly boot: string;
}

/** In place of the time of a start; no process has it. */
const GONE = 'gone';

/**
 * Takes the lock of the replay file at `path`; the result gives it back.
 * @throws KnockError `ERR_REPLAY_UNREADABLE` when another store has it; system errors as they come
 */
export async function lockReplay(path: string): Promise<() => Promise<void>> {
  const me: Owner = { pid: process.pid, start: (await startOf(process.pid)) ?? '0', boot: await bootId() };
  const directory = dirname(path);
  const prefix = `${basename(path)}.lock.`;
  const mine = `${prefix}${String(me.pid)}.${me.start}.${me.boot}`;
  try {
    const handle = await open(join(directory, mine), 'wx', 0o600);
    await handle.close();
  } catch (error) {
    throw systemCode(error) === 'EEXIST' ? inUse(path, me.pid) : error;
  }
  const release = (): Promise<void> => remove(join(directory, mine));
  try {
    for (const name of await readdir(directory)) {
      const other = name.startsWith(prefix) && name !== mine ? parseOwner(name.slice(prefix.length)) : null;
      if (other === null) continue;
      if (await isAlive(other, me.boot)) throw inUse(path, other.pid);
      await remove(join(directory, name));
    }
  } catch (error) {
    await release();
    throw error;
  }
  return release;
}

function inUse(path: string, pid: number): KnockError {
  return new KnockError(
    'ERR_REPLAY_UNREADABLE',
    `replay file ${printable(path)} is in use by process ${String(pid)} (stop it first, or give each gateway its own state directory)`,
  );
}

function parseOwner(text: string): Owner | null {
  const [, pid, start, boot] = /^(\d+)\.(\d+)\.([0-9a-f]+)$/u.exec(text) ?? [];
  if (pid === undefined || start === undefined || boot === undefined) return null;
  return { pid: Number(pid), start, boot };
}

async function isAlive({ pid, start, boot }: Owner, bootNow: string): Promise<boolean> {
  if (boot !== bootNow) return false;
  const found = start === '0' ? null : await startOf(pid);
  if (found !== null) return found === start;
  // One of another account may be hidden from us (hidepid, systemd's ProtectProc): then only a signal finds it.
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCode(error) === 'EPERM';
  }
}

/** When a process started, {@link GONE} of a zombie, `null` when none is to be seen. Fields as in proc(5), after the name. */
async function startOf(pid: number): Promise<string | null> {
  try {
    const text = await readFile(`/proc/${String(pid)}/stat`, 'latin1');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' || fields[0] === 'X' ? GONE : (fields[19] ?? null);
  } catch {
    return null;
  }
}

async function bootId(): Promise<string> {
  try {
    return (await readFile('/proc/sys/kernel/random/boot_id', 'latin1')).slice(0, 8);
  } catch {
    return '0';
  }
}

async function remove(path: string): Promise<void> {
  await unlink(path).catch(() => undefined);
}
