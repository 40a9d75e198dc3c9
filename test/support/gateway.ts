// A real portknockd in a namespace: its configuration and state in a folder of its own, its JSON events as they come.

import { type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { createReplayFile } from '../../lib/replay/file.ts';
import type { Namespace, World } from './netns.ts';
import { programArgs } from './programs.ts';

/** One line of `portknockd --log json`. */
export interface Event {
  readonly event: 'ready' | 'grant' | 'close' | 'reject' | 'reload' | 'warning' | 'error' | 'stop';
  readonly time: string;
  readonly [key: string]: unknown;
}

/** The secret of the client `field` in {@link configFor}. */
export const FIELD_SECRET = Buffer.alloc(32, 7);

/** A folder with a configuration, ready to run. */
export class Site {
  readonly folder: string;
  readonly config: string;

  private constructor(folder: string) {
    this.folder = folder;
    this.config = join(folder, 'portknockd.yaml');
  }

  /** Writes `yaml`, with `gateway`, `interface` and `state_dir` put in front. */
  static async create(world: World, yaml: string): Promise<Site> {
    const site = new Site(await mkdtemp(join(tmpdir(), 'portknock-e2e-')));
    await mkdir(join(site.folder, 'state'), { mode: 0o700 });
    await createReplayFile(join(site.folder, 'state', 'replay'));
    await site.write(`gateway: gw.example\ninterface: ${world.device}\nstate_dir: state\n${yaml}`);
    return site;
  }

  async write(text: string): Promise<void> {
    await writeFile(this.config, text);
    await chmod(this.config, 0o600);
  }

  remove(): Promise<void> {
    return rm(this.folder, { recursive: true, force: true });
  }
}

/**
 * The configuration of most tests: ssh on port 22, a one-time client `field`. `backend`: one of iptables', or nftables.
 */
export function configFor(
  options: { backend?: string; openFor?: string; more?: string; clients?: string } = {},
): string {
  const { backend = 'auto', openFor = '30s', more = '', clients = '' } = options;
  return [
    ...(backend === 'nftables'
      ? ['firewall: nftables']
      : ['firewall: iptables', `firewall_backend: ${backend}`]),
    'services: { ssh: { port: 22 } }',
    `open_for: ${openFor}`,
    'clients:',
    `  field: { scheme: one-time, secret: "${FIELD_SECRET.toString('base64')}", step: 2, services: [ssh] }`,
    clients,
    more,
    '',
  ].join('\n');
}

/**
 * Whether it says whom it runs as; other tests are about one process, whatever accounts the host has. A file in a place of
 * the gateway's own cannot be seen from here.
 */
async function isSeparated(site: Pick<Site, 'config'> | { readonly knockd: string }): Promise<boolean> {
  if (!('config' in site) || !existsSync(site.config)) return false;
  return /^user:/mu.test(await readFile(site.config, 'utf8'));
}

/** A running portknockd. */
export class Gateway {
  readonly events: Event[] = [];
  #stderr = '';
  readonly #child: ChildProcess;
  #changed: () => void = () => undefined;
  /** Whether it has ended, and all that it said has been read. */
  #isOver = false;

  private constructor(child: ChildProcess) {
    this.#child = child;
    const lines = createInterface({ input: child.stdout ?? process.stdin });
    lines.on('line', (line) => {
      this.events.push(JSON.parse(line) as Event);
      this.#changed();
    });
    child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr += chunk.toString();
    });
    child.once('close', () => {
      this.#isOver = true;
      this.#changed();
    });
  }

  /** Starts it with a configuration, or a knockd.conf, and waits until the ports are closed. */
  static async start(
    world: { readonly gateway: Pick<Namespace, 'spawn'> },
    site: Pick<Site, 'config'> | { readonly knockd: string },
    args: readonly string[] = [],
  ): Promise<Gateway> {
    const program = [
      ...programArgs('portknockd'),
      ...('knockd' in site ? ['--knockd', site.knockd] : ['--config', site.config]),
      '--log',
      'json',
      ...((await isSeparated(site)) || args.includes('--user') ? [] : ['--user', 'root']),
      ...args,
    ];
    const gateway = new Gateway(
      world.gateway.spawn(process.execPath, program, {
        stdio: ['ignore', 'pipe', 'pipe'],
        cwd: process.cwd(),
      }),
    );
    await gateway.wait('ready', { timeoutMs: 30_000 });
    return gateway;
  }

  /** The process itself: nsenter replaces itself with the program, so the pid is portknockd's. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Events of one kind so far. */
  of(kind: Event['event']): Event[] {
    return this.events.filter(({ event }) => event === kind);
  }

  /** Waits for the `count`-th event of a kind. */
  async wait(kind: Event['event'], { count = 1, timeoutMs = 20_000 } = {}): Promise<Event> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const found = this.of(kind)[count - 1];
      if (found !== undefined) return found;
      const ended = this.#isOver;
      const left = deadline - Date.now();
      if (ended || left <= 0) {
        throw new Error(
          `no ${kind} number ${count}${ended ? ', portknockd has ended' : ''}: ${JSON.stringify(this.events)} ${this.#stderr}`,
        );
      }
      await new Promise<void>((wake) => {
        const timer = setTimeout(wake, left);
        this.#changed = () => {
          clearTimeout(timer);
          wake();
        };
      });
    }
  }

  /** Ends it with a signal and waits; resolves to how long that took, milliseconds. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number> {
    const began = performance.now();
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const gone = once(this.#child, 'exit');
      this.#child.kill(signal);
      await gone;
    }
    return performance.now() - began;
  }

  /** Resident memory, bytes. */
  async memory(): Promise<number> {
    const kilobytes = /^VmRSS:\s+(\d+) kB/mu.exec(await readFile(`/proc/${this.pid}/status`, 'utf8'))?.[1];
    return Number(kilobytes) * 1024;
  }
}
