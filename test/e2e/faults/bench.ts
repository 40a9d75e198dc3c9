// What the tests of faults share: a world with clients of scheme spa, and gateways in it whose mounts are their own, so
// that a file of the host can be locked, a disk filled, and nobody else notices.

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { parsePrefix } from '../../../lib/address.ts';
import { accessKeyOf, sharedKeyOf } from '../../../lib/scheme/spa-keys.ts';
import { sealSpa } from '../../../lib/scheme/spa-seal.ts';
import { startAgent, type Agent, type Datagram } from '../../support/agent.ts';
import { Gateway, type Event, type Site } from '../../support/gateway.ts';
import { createWorld, finished, type Namespace, type World } from '../../support/netns.ts';
import { isLate } from '../granted.ts';
import { pause } from '../support.ts';

const ACCESS_KEY = Buffer.alloc(32, 21);
/** All may the same. */
const CLIENTS = ['alice', 'bob', 'carol'] as const;

/** Services ssh (22) and web (443), and clients who may both; what `firewall` says stands in front. */
export function configOf(firewall: string, openFor = '20s'): string {
  return [
    firewall,
    `access_key: "${ACCESS_KEY.toString('base64')}"`,
    'services: { ssh: { port: 22 }, web: { port: 443 } }',
    `open_for: ${openFor}`,
    'clients:',
    ...CLIENTS.map(
      (name) =>
        `  ${name}: { scheme: spa, secret: "${Buffer.alloc(32, name).toString('base64')}", bind: observed, services: [ssh, web] }`,
    ),
    '',
  ].join('\n');
}

export interface KnockOptions {
  readonly family?: 4 | 6;
  /** Alice unless said. */
  readonly client?: (typeof CLIENTS)[number];
  /** The client's clock. */
  readonly atMs?: number;
  /** A prefix with its length. */
  readonly claim?: string;
  readonly services?: readonly string[];
}

export class Bench {
  readonly world: World;
  readonly outside: Agent;
  readonly #inside: Agent;
  #sequence = 0n;

  private constructor(parts: { readonly world: World; readonly inside: Agent; readonly outside: Agent }) {
    this.world = parts.world;
    this.outside = parts.outside;
    this.#inside = parts.inside;
  }

  static async create(): Promise<Bench> {
    const world = await createWorld();
    const [inside, outside] = await Promise.all([startAgent(world.gateway), startAgent(world.outside)]);
    for (const port of [22, 443]) await inside.echo({ port });
    return new Bench({ world, inside, outside });
  }

  /** A fresh knock, not sent yet. */
  async seal(options: KnockOptions = {}): Promise<Datagram> {
    const { family = 4, claim, services = ['ssh'] } = options;
    const { client = 'alice', atMs = Date.now() } = options;
    this.#sequence += 1n;
    const payload = await sealSpa({
      ...{ accessKey: accessKeyOf(ACCESS_KEY), gateway: 'gw.example', services, ttlSeconds: 0, close: false },
      sender: { suite: 1, key: sharedKeyOf(Buffer.alloc(32, client)) },
      counter: (BigInt(atMs) << 16n) + this.#sequence,
      bind: claim === undefined ? 'observed' : 'prefix',
      claim: parsePrefix(claim ?? ''),
    });
    return { host: this.world.address[family], port: 62201, payload: payload.toString('base64') };
  }

  /** Sends a fresh knock, which is then the result. */
  async knock(options: KnockOptions = {}): Promise<Datagram> {
    const datagram = await this.seal(options);
    await this.outside.datagrams({ packets: [datagram] });
    return datagram;
  }

  /** What becomes of the next knock: `granted`, or why not. One more when a firewall that was too slow asks for it. */
  async outcome(gateway: Gateway, options: KnockOptions = {}): Promise<string> {
    const { client = 'alice' } = options;
    for (;;) {
      const seen = gateway.events.length;
      await this.knock(options);
      const isAnswer = (one: Event): boolean => one.event === 'grant' || one.event === 'reject';
      const { event, reason } = await until(gateway, (one) => isAnswer(one) && one.client === client, seen);
      if (event === 'grant') return 'granted';
      if (!gateway.events.slice(seen).some(isLate)) return String(reason);
    }
  }

  async connect(
    options: { readonly family?: 4 | 6; readonly port?: number; readonly source?: string } = {},
  ): Promise<string> {
    const { family = 4, port = 22, source = this.world.client[family] } = options;
    return (await this.outside.connect({ host: this.world.address[family], port, source })).outcome;
  }

  async destroy(): Promise<void> {
    await Promise.all([this.#inside.stop(), this.outside.stop()]);
    await this.world.destroy();
  }
}

/** The first event from number `from` on that is as wanted. */
export async function until(
  gateway: Gateway,
  wanted: (event: Event) => boolean,
  from = 0,
  timeoutMs = 20_000,
): Promise<Event> {
  for (const end = Date.now() + timeoutMs; Date.now() < end; await pause(10)) {
    const found = gateway.events.slice(from).find(wanted);
    if (found !== undefined) return found;
  }
  throw new Error(`not said: ${JSON.stringify(gateway.events.slice(from))}`);
}

/** Starts a gateway in a mount namespace of its own, after a shell script has mounted there what it likes. */
export function startAmong(
  world: { readonly gateway: Pick<Namespace, 'spawn'> },
  site: Pick<Site, 'config'>,
  script: string,
): Promise<Gateway> {
  const spawnThere: Namespace['spawn'] = (program, args, options) =>
    world.gateway.spawn(
      'unshare',
      ['-m', 'sh', '-ec', `${script}\nexec "$@"`, 'sh', program, ...args],
      options,
    );
  return Gateway.start({ gateway: { spawn: spawnThere } }, site);
}

/** Runs a shell script that must succeed among a process's mounts. */
export async function among(pid: number, script: string): Promise<string> {
  const { status, stdout, stderr } = await finished(spawn(...argvAmong(pid, script)));
  if (status !== 0) throw new Error(`${script}: ${stderr}`);
  return stdout;
}

/** Holds the lock of the legacy tables among a process's mounts; the result lets it go. */
export async function holdLock(pid: number): Promise<() => Promise<void>> {
  const holder: ChildProcess = spawn(
    ...argvAmong(pid, 'exec flock /run/xtables.lock sh -c "echo held; exec cat"'),
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  if (holder.stdout === null) throw new Error('flock cannot be heard');
  await once(holder.stdout, 'data');
  return async () => {
    const gone = once(holder, 'exit');
    holder.stdin?.end();
    await gone;
  };
}

function argvAmong(pid: number, script: string): [string, string[]] {
  return ['nsenter', ['-t', String(pid), '-m', '--', 'sh', '-ec', script]];
}
