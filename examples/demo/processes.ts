// The demo's processes: every one is known, and none outlives the demo, however it ends.

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { finished, type Finished, type Namespace } from '../../test/support/netns.ts';

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const PATIENCE_MS = 3000;

/** The argv that runs a TypeScript file of this checkout, from any folder. */
export function nodeArgv(file: string, ...args: readonly string[]): [string, ...string[]] {
  return [process.execPath, '--import', import.meta.resolve('tsx'), join(ROOT, file), ...args];
}

export class Processes {
  readonly #folder: string;
  readonly #running: ChildProcess[] = [];

  /** `folder` is everybody's current directory and home. */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** How many were started and have not ended. */
  get count(): number {
    return this.#running.length;
  }

  start(argv: readonly [string, ...string[]], space?: Namespace): ChildProcess {
    const [program, ...args] = space === undefined ? argv : boundToUs(space, argv);
    const child = spawn(program, args, {
      cwd: this.#folder,
      env: { ...process.env, HOME: this.#folder, XDG_STATE_HOME: join(this.#folder, 'client-state') },
      stdio: ['pipe', 'pipe', 'pipe'],
      // Out of the terminal's reach: Ctrl-C is for the demo, which ends the others itself.
      detached: true,
    });
    this.#running.push(child);
    const forget = (): void => void this.#running.splice(this.#running.indexOf(child), 1);
    child.once('exit', forget);
    child.once('error', forget);
    return child;
  }

  run(argv: readonly [string, ...string[]], space?: Namespace): Promise<Finished> {
    return finished(this.start(argv, space));
  }

  /** Runs a program that has to succeed; resolves to all that it said. */
  async must(argv: readonly [string, ...string[]], space?: Namespace): Promise<string> {
    const { status, stdout, stderr } = await this.run(argv, space);
    if (status !== 0) throw new Error(`${argv.join(' ')} failed (${String(status)}): ${stderr}${stdout}`);
    return stdout + stderr;
  }

  /** Ends them all, the youngest first. */
  async end(): Promise<void> {
    for (const child of [...this.#running].reverse()) await stop(child);
  }
}

/** Ends one process: gently, then not. */
export async function stop(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const gone = once(child, 'exit');
  child.kill(signal);
  const timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE_MS);
  await gone;
  clearTimeout(timer);
}

/** Resolves when the process says `words` on its standard error. */
export function says(child: ChildProcess, words: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes(words)) resolve();
    });
    child.once('error', reject);
    child.once('close', () => {
      reject(new Error(`${child.spawnargs.join(' ')} ended: ${said}`));
    });
  });
}

/** Who runs in a namespace, besides the process that holds it. */
export function pidsIn(space: Namespace): string[] {
  const holder = String(space.pid);
  const wanted = networkOf(holder);
  return readdirSync('/proc').filter(
    (pid) => /^\d+$/u.test(pid) && pid !== holder && networkOf(pid) === wanted,
  );
}

/** Empty for a process that has ended or is none of ours. */
function networkOf(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return '';
  }
}

/** In a namespace, the kernel ends the process when ours ends, even by SIGKILL. */
function boundToUs(space: Namespace, argv: readonly string[]): [string, ...string[]] {
  const [program, args] = space.argv('setpriv', ['--pdeathsig', 'KILL', '--', ...argv]);
  return [program, ...args];
}
