// What a driver makes of the openings of an earlier run, opening by opening: prefixes, several connections, both families;
// what it was not told of is gone, what was half used stays half used.

import assert from 'node:assert/strict';
import type { Grant, Service } from '../../lib/firewall/driver.ts';
import { startAgent, type Agent } from '../support/agent.ts';
import { createWorld, type World } from '../support/netns.ts';
import { startDriver, type RemoteDriver } from './nftables-driver.ts';
import { describeInNamespaces } from './support.ts';

const ssh: Service = { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 20_000, connections: 1 };
const web: Service = { ...ssh, name: 'web', port: 443, connections: 3 };
const any: Service = { ...ssh, name: 'any', port: 8080, connections: 'unlimited' };
const ALL = [ssh, web, any];
/** Holds client and stranger. */
const PREFIX = '10.77.0.0/29';

for (const backend of ['legacy', 'nft', undefined] as const) {
  const name = backend === undefined ? 'nftables' : `iptables-${backend}`;
  describeInNamespaces(`a first set-up over openings of an earlier run (${name})`, function () {
    this.timeout(60_000);
    let world: World;
    let driver: RemoteDriver;
    let gateway: Agent;
    let outside: Agent;

    before(async () => {
      world = await createWorld();
      [driver, gateway, outside] = await Promise.all([
        startDriver(world.gateway),
        startAgent(world.gateway),
        startAgent(world.outside),
      ]);
      for (const { port } of ALL) await gateway.echo({ port });
    });

    beforeEach(async () => {
      await driver.make(backend === undefined ? {} : { backend });
      await driver.setup(ALL);
    });

    afterEach(() => driver.teardown(null));

    after(async () => {
      await Promise.all([driver.stop(), gateway.stop(), outside.stop()]);
      await world.destroy();
    });

    const grant = (service: Service, source: string, more: Partial<Grant> = {}): Grant => ({
      ...{ id: 'test', client: 'test', source, service: service.name, protocol: service.protocol },
      ...{ port: service.port, openUntil: Date.now() + service.openForMs, connections: service.connections },
      ...more,
    });
    const connect = async ({ port }: Service, source: string): Promise<string> => {
      const host = world.address[source.includes(':') ? 6 : 4];
      return (await outside.connect({ host, port, source })).outcome;
    };
    /** The driver of the next run, which knows only what it is told. */
    const next = async (held: readonly Grant[], services: readonly Service[] = ALL): Promise<void> => {
      await driver.make(backend === undefined ? {} : { backend });
      assert.deepEqual(await driver.setupAfter({ services, held }), []);
    };
    const listed = async (): Promise<readonly string[]> =>
      (await driver.list(null)).map(({ service, source }) => `${service} ${source}`).toSorted();

    it('keeps those that it is told of, and takes away the others', async () => {
      const [client, stranger] = [world.client[4], world.stranger[4]];
      const prefix = grant(ssh, PREFIX);
      const six = grant(any, world.client[6]);
      for (const one of [prefix, six, grant(any, client), grant(ssh, world.stranger[6])])
        await driver.open(one);
      await next([prefix, six]);
      assert.deepEqual(await listed(), [`any ${world.client[6]}`, `ssh ${PREFIX}`]);
      assert.equal(await connect(any, client), 'refused');
      assert.equal(await connect(ssh, world.stranger[6]), 'refused');
      assert.equal(await connect(any, world.client[6]), 'talks');
      assert.equal(await connect(ssh, stranger), 'talks');
      assert.equal(await connect(ssh, client), 'refused');
      assert.deepEqual(await listed(), [`any ${world.client[6]}`]);
    });

    it('leaves of several connections what was left', async () => {
      const one = grant(web, world.client[4]);
      await driver.open(one);
      assert.equal(await connect(web, world.client[4]), 'talks');
      await next([one]);
      for (const outcome of ['talks', 'talks', 'refused']) {
        assert.equal(await connect(web, world.client[4]), outcome);
      }
      assert.deepEqual(await listed(), []);
      await driver.open(grant(web, world.client[4]));
      for (const outcome of ['talks', 'talks', 'talks', 'refused']) {
        assert.equal(await connect(web, world.client[4]), outcome);
      }
    });

    it('opens nothing that is not there, whose time is over, or whose service is another now', async () => {
      const late = grant(ssh, world.stranger[4]);
      const moved = grant(web, world.client[4]);
      for (const one of [late, moved]) await driver.open(one);
      const held = [grant(ssh, world.client[4]), { ...late, openUntil: Date.now() - 1 }, moved];
      await next(held, [ssh, { ...web, connections: 2 }, any]);
      assert.deepEqual(await listed(), []);
      assert.equal(await connect(ssh, world.client[4]), 'refused');
      assert.equal(await connect(ssh, world.stranger[4]), 'refused');
      assert.equal(await connect(web, world.client[4]), 'refused');
    });

    it('closes what it took over when it is told to', async () => {
      const one = grant(ssh, world.client[4]);
      const wide = grant(web, PREFIX);
      for (const each of [one, wide]) await driver.open(each);
      await next([one, wide]);
      for (const each of [one, wide]) await driver.close(each);
      assert.deepEqual(await listed(), []);
      assert.equal(await connect(ssh, world.client[4]), 'refused');
      assert.equal(await connect(web, world.client[4]), 'refused');
    });
  });
}
