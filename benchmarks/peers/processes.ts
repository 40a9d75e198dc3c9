// What processes cost, from /proc: time on a processor, memory, packets that their sockets had no room for.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpuMs } from '../../test/e2e/numbered.ts';
import { must } from '../bench.ts';
import type { Subject } from './rig.ts';

/** Of children that have ended the kernel tells hundredths of a second. */
const TICK_MS = 10;
/** In /proc/PID/stat, counted from the state, which follows the name in parentheses. */
const CUTIME = 13;

/** Time on a processor, milliseconds: of the processes, and of their children that have ended. */
export function spentMs(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + (ifItRuns(() => cpuMs(pid) + endedChildrenMs(pid)) ?? 0), 0);
}

/** A command that fwknopd has started may be gone before it is looked at. */
export function ifItRuns<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    const { code } = error as { code?: unknown };
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
}

function endedChildrenMs(pid: number): number {
  const fields = afterName(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  return (Number(fields[CUTIME]) + Number(fields[CUTIME + 1])) * TICK_MS;
}

function afterName(stat: string): string[] {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/** Resident memory, MiB; what several processes share counts once among all that share it. */
export function residentMiB(pids: readonly number[]): number {
  const kib = pids.map((pid) => {
    const table = ifItRuns(() => readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1')) ?? '';
    return Number(/^Pss: +(\d+) kB$/mu.exec(table)?.[1] ?? 0);
  });
  return kib.reduce((sum, each) => sum + each, 0) / 1024;
}

/** Packets that have come in at the gateway. */
export function arrivedAt({ pid, world }: Pick<Subject, 'pid' | 'world'>): number {
  const table = readFileSync(`/proc/${pid}/net/dev`, 'latin1');
  return Number(new RegExp(`${world.device}: *\\d+ +(\\d+)`, 'u').exec(table)?.[1]);
}

/** Bytes that a process has written. */
export function writtenBytes(pid: number): number {
  return Number(/^wchar: (\d+)$/mu.exec(readFileSync(`/proc/${pid}/io`, 'latin1'))?.[1]);
}

/** The one of our processes that captures. */
export function captureProcess({ pids }: Pick<Subject, 'pids'>): number {
  const found = pids().find((pid) =>
    readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('capture-child'),
  );
  must(found !== undefined, 'a capture process runs');
  return found ?? 0;
}

/** What the kernel counted for a process's packet sockets since the last call; `program`: native/packet-stats. */
export function socketCounts(program: string, pid: number): { passed: number; dropped: number } {
  const { status, stdout, stderr } = spawnSync(program, [String(pid)], { encoding: 'utf8' });
  must(status === 0, `packet-stats: ${stderr}`);
  const [passed = Number.NaN, dropped = Number.NaN] = stdout.split(' ').map(Number);
  return { passed, dropped };
}
