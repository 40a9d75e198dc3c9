// One of examples/ as a user has it: copied to an empty folder, its portknock the packed tarball, and its README's commands
// run there as they stand, but for the ports, which are free ones.

import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { Knocker, keySigner, parseProfile } from '../../lib/knocker.ts';
import { blocksOf } from '../docs/blocks.ts';
import { installed, runIn, type Ran } from './installed.ts';

const NPM = {
  ...{ npm_config_prefer_offline: 'true', npm_config_audit: 'false', npm_config_fund: 'false' },
  npm_config_fetch_retries: '5',
};

export class Example {
  readonly folder: string;
  readonly #env: Readonly<Record<string, string>>;
  readonly #readme: string;
  readonly #running: Program[] = [];

  private constructor(folder: string, readme: string, env: Readonly<Record<string, string>>) {
    this.folder = folder;
    this.#env = { ...NPM, ...env };
    this.#readme = readme;
  }

  /** `ports`: by the number that the README has, the name of the variable that changes it, and another number. */
  static async copy(
    name: string,
    ports: readonly (readonly [shown: number, variable: string, port: number])[] = [],
  ): Promise<Example> {
    const { tarball } = await installed();
    const folder = await mkdtemp(join(tmpdir(), `portknock-${name}-`));
    const filter = (path: string): boolean => !/\/(node_modules|secrets|state|admins)$/u.test(path);
    await cp(`examples/${name}`, folder, { recursive: true, filter });
    const manifest = join(folder, 'package.json');
    const text = await readFile(manifest, 'utf8');
    await writeFile(manifest, text.replace(/("portknock": )"[^"]+"/u, `$1"file:${tarball}"`));
    let readme = await readFile(join(folder, 'README.md'), 'utf8');
    for (const [shown, , port] of ports) readme = readme.replaceAll(`:${shown}/`, `:${port}/`);
    const env = Object.fromEntries(ports.map(([, variable, port]) => [variable, String(port)]));
    return new Example(folder, readme, env);
  }

  /** The lines of the README's shell blocks. */
  get blocks(): readonly (readonly string[])[] {
    return blocksOf('README.md', this.#readme)
      .filter(({ language }) => language === 'sh')
      .map(({ text }) => text.trim().split('\n'));
  }

  run(command: string): Promise<Ran> {
    return runIn(this.folder, 'sh', ['-c', command], this.#env);
  }

  /** Types the first block, whose last command goes on. */
  async startAsShown(): Promise<Program> {
    const commands = this.blocks[0] ?? [];
    for (const command of commands.slice(0, -1)) {
      const { code, stderr } = await this.run(command);
      assert.equal(code, 0, `${command}: ${stderr}`);
    }
    return this.start(commands.at(-1) ?? '');
  }

  /** Starts a command of the README that goes on. */
  start(command: string, env = {}): Program {
    const program = new Program(command, this.folder, { ...this.#env, ...env });
    this.#running.push(program);
    return program;
  }

  async remove(): Promise<void> {
    for (const program of this.#running) await program.kill();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** A knocker by a profile of the example, through `relay` if given. */
  async knocker(profile: string, { key, port }: { key?: string; port?: number } = {}): Promise<Knocker> {
    const text = await readFile(join(this.folder, profile), 'utf8');
    const parsed = parseProfile(port === undefined ? text : JSON.stringify({ ...JSON.parse(text), port }));
    if (key === undefined) return new Knocker(parsed);
    return new Knocker(parsed, { signer: await keySigner(await readFile(join(this.folder, key), 'utf8')) });
  }
}

/** For what takes a second on a quiet machine. */
const PATIENCE_MS = 60_000;

/** A running program, and the lines that it says. */
export class Program {
  readonly child: ChildProcess;
  readonly #lines: string[] = [];
  readonly #name: string;
  #read = 0;
  #heard = (): void => undefined;

  constructor(command: string, cwd: string, env: Readonly<Record<string, string>>) {
    const [file = '', ...args] = command.split(' ');
    this.#name = `${basename(cwd)}: ${command}`;
    const clean = Object.entries(process.env).filter(([name]) => !/^(NODE_|npm_|PORTKNOCK_)/u.test(name));
    const stdio = ['ignore', 'pipe', 'pipe'] as const;
    this.child = spawn(file, args, { cwd, env: { ...Object.fromEntries(clean), ...env }, stdio: [...stdio] });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      createInterface(stream!).on('line', (line) => {
        this.#lines.push(line);
        this.#heard();
      });
    }
    this.child.once('close', () => this.#heard());
  }

  /** The first line that fits, of those after the one that was asked for last. */
  async says(pattern: RegExp, timeoutMs = PATIENCE_MS): Promise<string> {
    return this.#until(pattern, timeoutMs, () => {
      while (this.#read < this.#lines.length) {
        const line = this.#lines[this.#read] ?? '';
        this.#read += 1;
        if (pattern.test(line)) return line;
      }
      return null;
    });
  }

  /** How many lines fit, of all, once there are `least` of them. */
  async said(pattern: RegExp, least: number): Promise<number> {
    const count = (): number => this.#lines.filter((line) => pattern.test(line)).length;
    return this.#until(pattern, PATIENCE_MS, () => (count() >= least ? count() : null));
  }

  async #until<T>(pattern: RegExp, timeoutMs: number, what: () => T | null): Promise<T> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const found = what();
      if (found !== null) return found;
      const leftMs = deadline - performance.now();
      if (leftMs <= 0 || this.#isOver) {
        const said = this.#lines.join('\n');
        throw new Error(
          `${this.#name} ${leftMs <= 0 ? 'does not say' : 'ended without'} ${pattern}:\n${said}`,
        );
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#heard = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** What it has said so far is no answer to what comes now. */
  skip(): void {
    this.#read = this.#lines.length;
  }

  /** Sends a signal and waits for the end. */
  async end(signal?: NodeJS.Signals): Promise<number | null> {
    if (signal !== undefined) this.child.kill(signal);
    if (!this.#isOver) await once(this.child, 'exit');
    return this.child.exitCode;
  }

  async kill(): Promise<void> {
    if (!this.#isOver) await this.end('SIGKILL');
  }

  get #isOver(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }
}

/** What a client hears that connects and speaks, and how it ends. `connected`: the kernel has accepted it. */
export async function visit(
  port: number,
  text = 'GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n',
  connected = (): void => undefined,
): Promise<{ heard: string; code: string | undefined }> {
  const socket = connect(port, '127.0.0.1');
  let heard = '';
  let code: string | undefined;
  socket.on('data', (chunk: Buffer) => (heard += chunk.toString('latin1')));
  socket.on('error', (error: NodeJS.ErrnoException) => (code = error.code));
  socket.once('connect', () => {
    socket.write(text);
    connected();
  });
  await new Promise((resolve) => socket.once('close', resolve));
  return { heard, code };
}

export const REFUSED = { heard: '', code: 'ECONNRESET' };

/** Sends on what comes to its port, and remembers it. */
export class Relay {
  readonly datagrams: Buffer[] = [];
  readonly #socket: UdpSocket;
  readonly #to: number;

  private constructor(socket: UdpSocket, to: number) {
    this.#socket = socket;
    this.#to = to;
    socket.on('message', (datagram) => {
      this.datagrams.push(datagram);
      this.send(datagram);
    });
  }

  static async to(port: number): Promise<Relay> {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return new Relay(socket, port);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  send(datagram: Uint8Array): void {
    this.#socket.send(datagram, this.#to, '127.0.0.1');
  }

  close(): void {
    this.#socket.close();
  }
}
