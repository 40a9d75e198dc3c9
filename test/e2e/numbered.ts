// Numbered datagrams with hints that change quickly, and who watches for them: what renewal.test.ts, hint-flood.test.ts
// and the script that they run agree on.

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Namespace } from '../support/netns.ts';

export const HINTED_PORT = 62_201;
export const PLAIN_PORT = 9000;
/** Its two hinted words, its number, and junk. */
export const DATAGRAM = { bytes: 192, number: 8 };

/** The hint of an artificial epoch. */
export function hintOf(epoch: number): number {
  return Math.imul(epoch, 0x85ebca6b) ^ 0x27d4eb2f;
}

/** Where a number is sent to: every tenth needs no hint. */
export function portOf(number: number): number {
  return number % 10 === 9 ? PLAIN_PORT : HINTED_PORT;
}

/** How far the clock of its sender is from ours, in thirtieths of an epoch. */
export function skewOf(number: number): -1 | 0 | 1 {
  return ((number % 3) - 1) as -1 | 0 | 1;
}

/** Whether its hint may be one that an older filter does not know yet. */
export function isAhead(number: number): boolean {
  return portOf(number) === HINTED_PORT && skewOf(number) === 1;
}

/** What a watcher saw. */
export interface Watched {
  readonly frames: number;
  readonly numbers: readonly number[];
  readonly lost: number;
  readonly renewals: number;
  readonly warnings: readonly string[];
}

const SCRIPT = fileURLToPath(new URL('capture-script.ts', import.meta.url));

/** The argv of a node that runs the script. */
export function script(...args: readonly string[]): [string, string[]] {
  return [process.execPath, ['--import', 'tsx', SCRIPT, ...args]];
}

/** A process that captures in a namespace. */
export class Watcher {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(process: ChildProcess, lines: Interface) {
    this.#process = process;
    this.#lines = lines[Symbol.asyncIterator]();
  }

  /** Resolves when it captures. */
  static async start(space: Namespace, device: string, ...options: readonly string[]): Promise<Watcher> {
    const child = space.spawn(...script('watch', device, ...options), { stdio: ['pipe', 'pipe', 'inherit'] });
    if (child.stdout === null) throw new Error('no standard output');
    const watcher = new Watcher(child, createInterface({ input: child.stdout }));
    if ((await watcher.#lines.next()).value !== 'ready') throw new Error('the watcher did not start');
    return watcher;
  }

  /** nsenter replaces itself with the program, so the pid is the watcher's. */
  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** Processes that it started and that still run. */
  children(): number[] {
    return readFileSync(`/proc/${this.pid}/task/${this.pid}/children`, 'utf8')
      .split(' ')
      .filter((pid) => pid !== '')
      .map(Number);
  }

  /** Makes it ask its source for other needs. */
  renew(): void {
    this.#process.stdin?.write('renew\n');
  }

  /** Ends it when so many have come or are lost, or a while later; resolves to what it saw. */
  async end(count = 0): Promise<Watched> {
    const gone = once(this.#process, 'exit');
    this.#process.stdin?.end(`until ${count}\n`);
    const line = await this.#lines.next();
    await gone;
    return JSON.parse(String(line.value)) as Watched;
  }

  /** For the end of a test that failed. */
  kill(): void {
    this.#process.kill('SIGKILL');
  }
}

/** Time that a process has spent on a processor, all its threads, milliseconds. */
export function cpuMs(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`);
  const nanoseconds = threads.map((thread) =>
    Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]),
  );
  return nanoseconds.reduce((sum, each) => sum + each, 0) / 1e6;
}
