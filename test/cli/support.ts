// Runs the programs as a user does, in a folder and with a home of their own.

import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { programArgs, type Program } from '../support/programs.ts';

export interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** A program with a pipe at each end. */
export type StreamProcess = ChildProcess & { stdin: Writable; stdout: Readable; stderr: Readable };

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

  /** The program and the arguments that run one of ours. */
  command(program: Program, args: readonly string[]): readonly [string, readonly string[]] {
    // One process, whatever accounts the host has (two: e2e/separation.test.ts).
    const whole = program === 'portknockd' && !args.includes('--user') ? ['--user', 'root'] : [];
    return [process.execPath, [...programArgs(program), ...whole, ...args]];
  }

  /** The environment of every program here, unless it gets more. */
  environment(env: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
    return { PATH: process.env.PATH, HOME: this.path('home'), NO_COLOR: '1', ...env };
  }

  /** Starts `portknock` or `portknockd`. */
  start(
    program: Program,
    args: readonly string[],
    env: NodeJS.ProcessEnv = {},
    stdin: 'ignore' | 'pipe' = 'ignore',
  ): ChildProcess {
    // No test on this host makes an account.
    const isInit = program === 'portknock' && args[0] === 'init' && !args.includes('--user');
    const [node, all] = this.command(program, isInit ? [...args, '--user', 'root'] : args);
    const options = { cwd: this.folder, env: this.environment(env) };
    return spawn(node, all, { ...options, stdio: [stdin, 'pipe', 'pipe'] });
  }

  /** Starts `portknock` with a stream on both ends. */
  startStream(args: readonly string[], env: NodeJS.ProcessEnv = {}): StreamProcess {
    const child = this.start('portknock', args, env, 'pipe');
    assert.ok(child.stdin !== null && child.stdout !== null && child.stderr !== null);
    return child as StreamProcess;
  }

  /** Runs a command line to its end, with `input` on its standard input. */
  async run(line: string, env: NodeJS.ProcessEnv = {}, input?: string): Promise<Outcome> {
    const [program, ...args] = line.split(' ');
    if (program !== 'portknock' && program !== 'portknockd')
      throw new Error(`not a program of ours: ${line}`);
    const child = this.start(program, args, env, input === undefined ? 'ignore' : 'pipe');
    child.stdin?.end(input);
    return this.outcome(child);
  }

  /** Runs `portknock` in a session of its own, which has no terminal wherever the tests run. */
  runDetached(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
    const [node, all] = this.command('portknock', args);
    const options = { cwd: this.folder, env: this.environment(env), detached: true };
    return this.outcome(spawn(node, all, { ...options, stdio: ['ignore', 'pipe', 'pipe'] }));
  }

  /** What a program has come to. */
  async outcome(child: ChildProcess): Promise<Outcome> {
    const texts = { out: '', err: '' };
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (texts.out += text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (texts.err += text));
    const [code] = (await once(child, 'close')) as [number | null];
    this.printed += texts.out + texts.err;
    return { code, ...texts };
  }

  /** Runs another program to its end; its standard output. */
  async tool(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
    const options = { cwd: this.folder, env: this.environment(env) };
    const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'inherit'] });
    const out = child.stdout.setEncoding('utf8').toArray();
    const [code] = (await once(child, 'close')) as [number | null];
    assert.equal(code, 0, `${program} ${args.join(' ')}`);
    return (await out).join('');
  }

  remove(): Promise<void> {
    return rm(this.folder, { recursive: true, force: true });
  }
}

/** Ends a program, if there is one; what it held is free afterwards. */
export async function killed(child: ChildProcess | null): Promise<void> {
  if (child === null || child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

/** Lines of a running program, and a wait for the one that fits. */
export class Lines {
  readonly all: string[] = [];
  #ended = false;
  readonly #waiting = new Set<() => void>();

  constructor(stream: NonNullable<ChildProcess['stdout']>) {
    const wake = (): void => {
      for (const each of this.#waiting) each();
      this.#waiting.clear();
    };
    createInterface(stream)
      .on('line', (line) => {
        this.all.push(line);
        wake();
      })
      .on('close', () => {
        this.#ended = true;
        wake();
      });
  }

  /** The first line that fits, which may have come already. */
  async find(fits: (line: string) => boolean): Promise<string> {
    for (;;) {
      const found = this.all.find(fits);
      if (found !== undefined) return found;
      if (this.#ended) throw new Error(`the program ended without that line: ${this.all.join('\n')}`);
      await new Promise<void>((wake) => this.#waiting.add(wake));
    }
  }
}
