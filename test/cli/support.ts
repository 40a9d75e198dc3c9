// Runs the programs as a user does, from source, in a folder and with a home of their own.

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

export interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** A folder to run programs in. */
export class Place {
  readonly folder: string;
  /** Everything that any program here has printed. */
  printed = '';

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async make(): Promise<Place> {
    return new Place(await mkdtemp(join(tmpdir(), 'portknock-cli-')));
  }

  path(...names: string[]): string {
    return join(this.folder, ...names);
  }

  /** Starts `portknock` or `portknockd`. */
  start(
    program: 'portknock' | 'portknockd',
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
  ): ChildProcess {
    const tsx = pathToFileURL(createRequire(resolve('package.json')).resolve('tsx')).href;
    const home = { PATH: process.env.PATH, HOME: this.path('home'), NO_COLOR: '1' };
    return spawn(process.execPath, ['--import', tsx, resolve('cli', `${program}.ts`), ...args], {
      cwd: this.folder,
      env: { ...home, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  /** Runs a command line to its end. */
  async run(line: string, env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
    const [program, ...args] = line.split(' ');
    if (program !== 'portknock' && program !== 'portknockd')
      throw new Error(`not a program of ours: ${line}`);
    const child = this.start(program, args, env);
    const texts = { out: '', err: '' };
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (texts.out += text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (texts.err += text));
    const [code] = (await once(child, 'close')) as [number | null];
    this.printed += texts.out + texts.err;
    return { code, ...texts };
  }

  remove(): Promise<void> {
    return rm(this.folder, { recursive: true, force: true });
  }
}

/** Lines of a running program, and a wait for the one that fits. */
export class Lines {
  readonly all: string[] = [];
  readonly #waiting = new Set<() => void>();

  constructor(stream: NonNullable<ChildProcess['stdout']>) {
    createInterface(stream).on('line', (line) => {
      this.all.push(line);
      for (const each of this.#waiting) each();
    });
  }

  /** The first line that fits, which may have come already. */
  async find(fits: (line: string) => boolean): Promise<string> {
    for (;;) {
      const found = this.all.find(fits);
      if (found !== undefined) return found;
      await new Promise<void>((wake) => this.#waiting.add(wake));
    }
  }
}
