// A host as its users know it: a network namespace with a name, an /etc, a /var/lib and a home of its own, so that
// commands run as they stand in the documentation, without touching this host.

import { type ChildProcess, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { finished, type Finished, type Namespace } from './netns.ts';
import { programArgs } from './programs.ts';

export interface MachineOptions {
  /** What the host calls itself. */
  readonly name: string;
  /** Addresses by name, for its /etc/hosts. */
  readonly hosts?: Readonly<Record<string, readonly string[]>>;
}

export interface CommandOptions {
  /** Beside PATH and HOME; nothing of the test's own environment is passed on. */
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string;
  readonly timeoutMs?: number;
  /** The machine's home unless given. */
  readonly cwd?: string;
}

const HOLD =
  'cp -a /etc "$1/etc" && mount --bind "$1/etc" /etc && mount -t tmpfs tmpfs /var/lib && hostname "$2" && echo ready && read end';
/** In the other namespaces the working directory would be lost. */
const IN_FOLDER = 'cd "$0" && exec "$@"';

export class Machine {
  /** Root's home in there; a folder of this host, so that tests can look into it. */
  readonly home: string;
  /** First in PATH. */
  readonly bin: string;
  readonly #folder: string;
  readonly #space: Namespace;
  readonly #holder: ChildProcess;

  private constructor(space: Namespace, folder: string, holder: ChildProcess) {
    this.home = join(folder, 'home');
    this.bin = join(folder, 'bin');
    this.#folder = folder;
    this.#space = space;
    this.#holder = holder;
  }

  static async create(space: Namespace, { name, hosts = {} }: MachineOptions): Promise<Machine> {
    const folder = await mkdtemp(join(tmpdir(), 'portknock-machine-'));
    const holder = space.spawn('unshare', ['-mu', 'sh', '-c', HOLD, 'sh', folder, name], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const [said] = (await Promise.race([once(holder.stdout!, 'data'), once(holder, 'exit')])) as unknown[];
    if (!Buffer.isBuffer(said)) throw new Error(`no namespaces for ${name}: ${String(said)}`);
    const machine = new Machine(space, folder, holder);
    await mkdir(machine.home, { mode: 0o700 });
    await mkdir(machine.bin);
    // As /usr/local is: what is installed here may be run by accounts without rights.
    await chmod(folder, 0o711);
    const passwd = await readFile('/etc/passwd', 'utf8');
    // ssh asks the user database for the home, not HOME.
    const root = `root:x:0:0:root:${machine.home}:/bin/sh`;
    await writeFile(join(folder, 'etc/passwd'), passwd.replace(/^root:.*$/mu, root));
    const lines = Object.entries(hosts).flatMap(([host, all]) => all.map((address) => `${address} ${host}`));
    await writeFile(join(folder, 'etc/hosts'), ['127.0.0.1 localhost', ...lines, ''].join('\n'));
    for (const program of ['portknock', 'portknockd'] as const) await machine.#ours(program);
    return machine;
  }

  /** A file in the home. */
  path(name: string): string {
    return join(this.home, name);
  }

  /** A file in its /etc. */
  etc(name: string): string {
    return join(this.#folder, 'etc', name);
  }

  /** A program that comes before all others of its name. */
  async install(name: string, script: string): Promise<void> {
    await writeFile(join(this.bin, name), script, { mode: 0o755 });
  }

  /** OpenSSH's arguments `-o NAME=VALUE` and `-l USER` as its user's configuration file. */
  async configureSsh(args: readonly string[]): Promise<void> {
    const user = args[args.indexOf('-l') + 1] ?? 'root';
    const options = args
      .filter((each) => each.includes('=') && !each.startsWith('ConnectTimeout'))
      .map((each) => each.replace('=', ' '));
    await mkdir(this.path('.ssh'), { recursive: true, mode: 0o700 });
    await writeFile(this.path('.ssh/config'), ['Host *', `User ${user}`, ...options, ''].join('\n'));
  }

  spawn(
    program: string,
    args: readonly string[],
    { env = {}, cwd = this.home, ...options }: Omit<SpawnOptions, 'cwd'> & { cwd?: string } = {},
  ): ChildProcess {
    const inside = ['sh', '-c', IN_FOLDER, cwd, program, ...args];
    return this.#space.spawn('nsenter', ['-t', String(this.#holder.pid), '-m', '-u', '--', ...inside], {
      ...options,
      env: {
        PATH: [this.bin, process.env.PATH].join(delimiter),
        HOME: this.home,
        NODE_V8_COVERAGE: process.env.NODE_V8_COVERAGE,
        NO_COLOR: '1',
        ...env,
      },
    });
  }

  async run(program: string, args: readonly string[], options: CommandOptions = {}): Promise<Finished> {
    const { input, timeoutMs = 60_000, ...rest } = options;
    const limits = { timeout: timeoutMs, killSignal: 'SIGKILL' } as const;
    return finished(this.spawn(program, args, { ...rest, ...limits, stdio: 'pipe' }), input);
  }

  /** Runs a command line as its user types it. */
  async sh(line: string, options: CommandOptions = {}): Promise<Finished> {
    return this.run('sh', ['-c', line], options);
  }

  /** Runs a command line that has to succeed. */
  async must(line: string, options: CommandOptions = {}): Promise<Finished> {
    const done = await this.sh(line, options);
    if (done.status === 0) return done;
    throw new Error(`${line} failed (${done.signal ?? String(done.status)}): ${done.stderr}${done.stdout}`);
  }

  async destroy(): Promise<void> {
    if (this.#holder.exitCode === null && this.#holder.signalCode === null) {
      const gone = once(this.#holder, 'exit');
      this.#holder.stdin?.end();
      await gone;
    }
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #ours(program: 'portknock' | 'portknockd'): Promise<void> {
    const words = [process.execPath, ...programArgs(program)].map((word) => `"${word}"`);
    await this.install(program, `#!/bin/sh\nexec ${words.join(' ')} "$@"\n`);
  }
}
