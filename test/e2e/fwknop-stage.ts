// Where the real fwknop client meets our gateway: a world with a portknockd, a service on it or behind it, and the client
// as its user would run it.

import { writeFile } from 'node:fs/promises';
import { startAgent, type Agent } from '../support/agent.ts';
import { Gateway, Site } from '../support/gateway.ts';
import { joinInner, type Inner } from '../support/inner.ts';
import { createWorld, type World } from '../support/netns.ts';

interface Parts {
  readonly world: World;
  readonly inner: Inner | null;
  readonly agents: readonly [inside: Agent, outside: Agent];
  readonly site: Site;
  readonly gateway: Gateway;
}

export class FwknopStage {
  readonly world: World;
  readonly outside: Agent;
  readonly site: Site;
  readonly gateway: Gateway;
  readonly #inner: Inner | null;
  readonly #inside: Agent;

  private constructor({ world, inner, agents, site, gateway }: Parts) {
    this.world = world;
    this.#inner = inner;
    [this.#inside, this.outside] = agents;
    this.site = site;
    this.gateway = gateway;
  }

  /** `configOf`: the whole configuration. `behind`: the service on port 22 is on a host behind the gateway. */
  static async open(
    configOf: (world: World, site: Site) => string | Promise<string>,
    { behind = false } = {},
  ): Promise<FwknopStage> {
    const world = await createWorld();
    const inner = behind ? await joinInner(world) : null;
    const agents = await Promise.all([startAgent(inner?.space ?? world.gateway), startAgent(world.outside)]);
    await agents[0].echo({ port: 22 });
    const site = await Site.create(world, '');
    await writeFile(site.config, await configOf(world, site));
    const gateway = await Gateway.start(world, site);
    return new FwknopStage({ world, inner, agents, site, gateway });
  }

  async close(): Promise<void> {
    await this.gateway.end('SIGKILL');
    await this.site.remove();
    await Promise.all([this.#inside.stop(), this.outside.stop()]);
    await this.#inner?.destroy();
    await this.world.destroy();
  }

  /** Runs the client; of options that are given twice it takes the last. */
  async fwknop(...more: readonly string[]): Promise<void> {
    await this.world.outside.must('env', [
      ...[`HOME=${this.site.folder}`, 'fwknop', '--no-rc-file', '--no-save-args', '-A', 'tcp/22'],
      ...['-a', this.world.client[4], '-D', this.world.address[4], '--use-hmac', ...more],
    ]);
  }

  async connect(source = this.world.client[4], port = 22): Promise<string> {
    return (await this.outside.connect({ host: this.world.address[4], port, source })).outcome;
  }

  /** The reason of the next refusal, with what it says besides. */
  async refusal(act: () => Promise<unknown>): Promise<string> {
    const count = this.gateway.of('reject').length + 1;
    await act();
    const { reason, client = '-', detail = '-' } = await this.gateway.wait('reject', { count });
    return [reason, client, detail].join(' ');
  }
}
