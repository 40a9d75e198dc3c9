// Network namespaces for tests and the demo: one process holds each namespace, programs enter it with nsenter, and
// all of it is gone when the holders end. Works as root, and as the root of a user namespace.

import { spawn, spawnSync, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { once } from 'node:events';

export interface Finished {
  readonly status: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A network namespace. */
export class Namespace {
  readonly #holder: ChildProcess;

  private constructor(holder: ChildProcess) {
    this.#holder = holder;
  }

  static async create(): Promise<Namespace> {
    // `read` never returns until our end of the pipe closes, so a namespace cannot outlive this process.
    const holder = spawn('unshare', ['-n', 'sh', '-c', 'echo ready; read end'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await once(holder.stdout, 'data');
    const space = new Namespace(holder);
    await space.must('ip', ['link', 'set', 'lo', 'up']);
    return space;
  }

  get pid(): number {
    return this.#holder.pid ?? 0;
  }

  /** The argv that runs a program in here. */
  argv(program: string, args: readonly string[]): [string, string[]] {
    return ['nsenter', ['-t', String(this.pid), '-n', '--', program, ...args]];
  }

  spawn(program: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    return spawn(...this.argv(program, args), options);
  }

  async run(
    program: string,
    args: readonly string[],
    options: { input?: string; timeoutMs?: number } = {},
  ): Promise<Finished> {
    return finished(
      this.spawn(program, args, {
        stdio: ['pipe', 'pipe', 'pipe'],
        timeout: options.timeoutMs ?? 60_000,
        killSignal: 'SIGKILL',
      }),
      options.input,
    );
  }

  /** Runs a program that has to succeed; resolves to its standard output. */
  async must(
    program: string,
    args: readonly string[],
    options: { input?: string; timeoutMs?: number } = {},
  ): Promise<string> {
    const { status, signal, stdout, stderr } = await this.run(program, args, options);
    if (status !== 0)
      throw new Error(
        `${program} ${args.join(' ')} failed (${signal ?? String(status)}): ${stderr}${stdout}`,
      );
    return stdout;
  }

  async destroy(): Promise<void> {
    if (this.#holder.exitCode !== null || this.#holder.signalCode !== null) return;
    const gone = once(this.#holder, 'exit');
    this.#holder.stdin?.end();
    await gone;
  }
}

/** Waits for a program that was started with pipes. */
export async function finished(child: ChildProcess, input = ''): Promise<Finished> {
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => out.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => err.push(chunk));
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(input);
  const [status, signal] = (await once(child, 'close')) as [number | null, string | null];
  return { status, signal, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() };
}

/** A protected host and somebody else, joined by one link. The outside has several addresses per family. */
export interface World {
  readonly gateway: Namespace;
  readonly outside: Namespace;
  /** Addresses of the gateway: reached from outside. */
  readonly address: { readonly 4: string; readonly 6: string };
  /** Addresses of the outside host: the client's, and two strangers'. */
  readonly client: { readonly 4: string; readonly 6: string };
  readonly stranger: { readonly 4: string; readonly 6: string };
  /** Name of the gateway's interface. */
  readonly device: string;
  destroy(): Promise<void>;
}

export async function createWorld(): Promise<World> {
  const gateway = await Namespace.create();
  const outside = await Namespace.create();
  await gateway.must('ip', [
    'link',
    'add',
    'gw0',
    'type',
    'veth',
    'peer',
    'name',
    'out0',
    'netns',
    String(outside.pid),
  ]);
  // The hardware addresses that test/support/frames.ts writes.
  await gateway.must('ip', ['link', 'set', 'gw0', 'address', '02:00:00:00:00:01']);
  await outside.must('ip', ['link', 'set', 'out0', 'address', '02:00:00:00:00:ff']);
  for (const [space, device, host] of [
    [gateway, 'gw0', 1],
    [outside, 'out0', 2],
    [outside, 'out0', 3],
  ] as const) {
    await space.must('ip', ['addr', 'add', `10.77.0.${host}/24`, 'dev', device]);
    await space.must('ip', ['-6', 'addr', 'add', `fd77::${host}/64`, 'dev', device, 'nodad']);
  }
  await gateway.must('ip', ['link', 'set', 'gw0', 'up']);
  await outside.must('ip', ['link', 'set', 'out0', 'up']);
  // The client's own address is the default source of either family.
  await outside.must('ip', [
    '-6',
    'addr',
    'change',
    'fd77::3/64',
    'dev',
    'out0',
    'preferred_lft',
    '0',
    'nodad',
  ]);
  return {
    gateway,
    outside,
    address: { 4: '10.77.0.1', 6: 'fd77::1' },
    client: { 4: '10.77.0.2', 6: 'fd77::2' },
    stranger: { 4: '10.77.0.3', 6: 'fd77::3' },
    device: 'gw0',
    async destroy() {
      await outside.destroy();
      await gateway.destroy();
    },
  };
}

/** Whether namespaces can be made here, and if not, why. */
export function namespacesFault(): string | null {
  if (process.platform !== 'linux') return 'network namespaces need Linux';
  const { status, stderr, error } = spawnSync('unshare', ['-n', 'true'], { encoding: 'utf8' });
  if (error !== undefined) return 'unshare is missing (apt-get install util-linux)';
  return status === 0 ? null : `network namespaces are not allowed here: ${stderr.trim()} (run as root)`;
}
