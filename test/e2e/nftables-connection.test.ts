// The nftables driver on a real kernel, both families: what becomes of grants and connections when the rules are set once
// more, datagrams, and replaced grants. What every driver must do: one-connection.test.ts.

import assert from 'node:assert/strict';
import type { Grant, Service } from '../../lib/firewall/driver.ts';
import { startAgent, type Agent } from '../support/agent.ts';
import { createWorld, type World } from '../support/netns.ts';
import { startDriver, type RemoteDriver } from './nftables-driver.ts';
import { describeInNamespaces } from './support.ts';

const ssh: Service = { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 20_000, connections: 1 };
const web: Service = { ...ssh, name: 'web', port: 443, connections: 3 };
const anyNumber: Service = { ...ssh, name: 'any', port: 8080, connections: 'unlimited' };
const dns: Service = { ...ssh, name: 'dns', protocol: 'udp', port: 5353, connections: 2 };
const ALL = [ssh, web, anyNumber, dns];
/** Holds client and stranger. */
const PREFIX = { 4: '10.77.0.0/29', 6: 'fd77::/125' };
/** One more address outside, which it does not hold. */
const BEYOND = { 4: '10.77.0.9', 6: 'fd77::9' };

describeInNamespaces('grants of the nftables driver', function () {
  this.timeout(120_000);
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
    for (const { port, protocol } of ALL)
      await gateway[protocol === 'tcp' ? 'echo' : 'echoDatagrams']({ port });
    await world.outside.must('ip', ['addr', 'add', `${BEYOND[4]}/24`, 'dev', 'out0']);
    const unasked = ['preferred_lft', '0', 'nodad'];
    await world.outside.must('ip', ['-6', 'addr', 'add', `${BEYOND[6]}/64`, 'dev', 'out0', ...unasked]);
  });

  beforeEach(async () => {
    await driver.make({});
    await driver.setup(ALL);
  });

  afterEach(() => driver.teardown(null));

  after(async () => {
    await Promise.all([driver.stop(), gateway.stop(), outside.stop()]);
    await world.destroy();
  });

  const grant = (service: Service, source: string): Grant => ({
    ...{ id: 'test', client: 'test', source, service: service.name, protocol: service.protocol },
    ...{ port: service.port, openUntil: Date.now() + service.openForMs, connections: service.connections },
  });

  for (const family of [4, 6] as const) {
    const connect = async (port = 22, source = world.client[family]): Promise<string> =>
      (await outside.connect({ host: world.address[family], port, source })).outcome;
    const several = async (count: number, port: number): Promise<string[]> => {
      const outcomes: string[] = [];
      for (let i = 0; i < count; i += 1) outcomes.push(await connect(port));
      return outcomes;
    };
    const session = async (port = 22): Promise<(when: string) => Promise<void>> => {
      const { id, outcome } = await outside.connect({ host: world.address[family], port });
      assert.equal(outcome, 'talks');
      return async (when) => assert.equal(await outside.talk({ id }), true, when);
    };

    it(`looks closed again to who has used his grant up (IPv${family})`, async () => {
      await driver.open(grant(ssh, world.client[family]));
      assert.equal(await connect(), 'talks');
      const probe = ['-n', '-Pn', '-sS', '-p', '22', '--reason', '-S', world.client[family], '-e', 'out0'];
      const { stdout } = await world.outside.run('nmap', [
        ...(family === 6 ? ['-6'] : []),
        ...probe,
        world.address[family],
      ]);
      assert.match(stdout, /22\/tcp closed ssh +reset/u);
    });

    it(`admits as many connections as the service says, or fewer where the grant says so (IPv${family})`, async () => {
      await driver.open(grant(web, world.client[family]));
      assert.deepEqual(await several(4, 443), ['talks', 'talks', 'talks', 'refused']);
      for (const connections of [1, 2]) {
        await driver.open({ ...grant(web, world.client[family]), connections });
        assert.deepEqual(await several(connections, 443), Array(connections).fill('talks'));
        assert.equal(await connect(443), 'refused');
      }
      assert.deepEqual(await driver.list(null), []);
    });

    it(`counts a replaced grant's connections anew (IPv${family})`, async () => {
      await driver.open(grant(web, world.client[family]));
      assert.deepEqual(await several(2, 443), ['talks', 'talks']);
      await driver.open(grant(web, world.client[family]));
      assert.deepEqual(await several(4, 443), ['talks', 'talks', 'talks', 'refused']);
    });

    it(`admits as many datagram flows as the service says (IPv${family})`, async () => {
      const ask = (source: string): Promise<boolean> =>
        outside.ask({ host: world.address[family], port: 5353, source });
      assert.equal(await ask(world.client[family]), false);
      for (const source of [world.client[family], PREFIX[family]]) {
        await driver.open(grant(dns, source));
        assert.equal(await ask(BEYOND[family]), false);
        for (const admitted of [true, true, false])
          assert.equal(await ask(world.client[family]), admitted, source);
        assert.deepEqual(await driver.list(null), []);
      }
    });

    it(`keeps sessions at every further set-up, and those from before the first (IPv${family})`, async () => {
      await driver.teardown(null);
      const before = await session();
      await driver.setup(ALL);
      await before('closed');
      await driver.open(grant(ssh, PREFIX[family]));
      const lives = await session();
      for (const services of [
        [ssh],
        [{ ...ssh, openForMs: 5000 }, web],
        [{ ...ssh, connections: 'unlimited' as const }],
        [web],
        ALL,
        [],
        [{ ...ssh, name: 'shell' }],
      ]) {
        await driver.setup(services);
        await lives(JSON.stringify(services));
        await before(JSON.stringify(services));
      }
      await driver.teardown(null);
      await lives('torn down');
    });

    it(`opens a port for nobody, at any instant of a set-up (IPv${family})`, async () => {
      let busy = true;
      const outcomes: string[] = [];
      const knocking = Array.from({ length: 8 }, async () => {
        while (busy) outcomes.push(await connect(22, BEYOND[family]));
      });
      try {
        for (let length = 12; length < 24 || (outcomes.length <= 200 && length < 32); length += 1) {
          await driver.setup([ssh, { ...web, connections: 1 + (length % 3) }]);
          await driver.open(grant(ssh, family === 4 ? `128.0.0.0/${length}` : `fe00::/${length}`));
          await driver.make({});
          await driver.setup([{ ...ssh, openForMs: 20_000 + length }, anyNumber]);
        }
      } finally {
        busy = false;
      }
      await Promise.all(knocking);
      assert.ok(outcomes.length > 200, `${outcomes.length} tries`);
      assert.deepEqual(new Set(outcomes), new Set(['refused']));
    });

    it(`admits exactly one of eight connections that race with a set-up (IPv${family})`, async () => {
      const counts = new Map<number, number>();
      for (let round = 0; round < 40; round += 1) {
        await driver.open(grant(ssh, round % 2 === 0 ? world.client[family] : PREFIX[family]));
        const [, ...outcomes] = await Promise.all([
          driver.setup(round % 4 < 2 ? [ssh, web] : [ssh]),
          ...Array.from({ length: 8 }, () => connect()),
        ]);
        const admitted = outcomes.filter((outcome) => outcome === 'talks').length;
        counts.set(admitted, (counts.get(admitted) ?? 0) + 1);
      }
      assert.deepEqual([...counts], [[1, 40]], 'admitted connections per round, and how often');
    });
  }
});
