// A host that used knockd until now: its own rules close its ports, and portknockd runs its knockd.conf as it is.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startAgent, type Agent } from '../support/agent.ts';
import { Gateway } from '../support/gateway.ts';
import { createWorld, type World } from '../support/netns.ts';

const PORTS = [22, 443];

export class KnockdHost {
  readonly world: World;
  readonly outside: Agent;
  readonly folder: string;
  readonly #inside: Agent;
  gateway: Gateway | null = null;

  private constructor(parts: Pick<KnockdHost, 'world' | 'outside' | 'folder'>, inside: Agent) {
    this.world = parts.world;
    this.outside = parts.outside;
    this.folder = parts.folder;
    this.#inside = inside;
  }

  static async create(): Promise<KnockdHost> {
    const world = await createWorld();
    const [inside, outside] = await Promise.all([startAgent(world.gateway), startAgent(world.outside)]);
    for (const port of PORTS) await inside.echo({ port });
    for (const program of ['iptables', 'ip6tables']) {
      for (const port of PORTS) {
        const rule = ['-p', 'tcp', '--dport', String(port), '-j', 'REJECT', '--reject-with', 'tcp-reset'];
        await world.gateway.must(program, ['-A', 'INPUT', ...rule]);
      }
    }
    return new KnockdHost(
      { world, outside, folder: await mkdtemp(join(tmpdir(), 'portknock-host-')) },
      inside,
    );
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  /** Writes the file and runs it, with state that nobody has used unless it is named. */
  async run(text: string, args: readonly string[] = [], state = String(Math.random())): Promise<Gateway> {
    await this.gateway?.end();
    const knockd = this.path('knockd.conf');
    await writeFile(knockd, text, { mode: 0o600 });
    const all = ['-i', this.world.device, '--state', this.path(state), ...args];
    this.gateway = await Gateway.start(this.world, { knockd }, all);
    return this.gateway;
  }

  /** The real `knock`, without delay. */
  async knock(knocks: readonly string[], family: 4 | 6 = 4): Promise<void> {
    await this.world.outside.must('knock', [`-${family}`, '-d', '0', this.world.address[family], ...knocks]);
  }

  async connect(port: number, family: 4 | 6 = 4): Promise<string> {
    const [host, source] = [this.world.address[family], this.world.client[family]];
    return (await this.outside.connect({ host, port, source })).outcome;
  }

  async destroy(): Promise<void> {
    await this.gateway?.end();
    await Promise.all([this.#inside.stop(), this.outside.stop()]);
    await rm(this.folder, { recursive: true });
    await this.world.destroy();
  }
}
