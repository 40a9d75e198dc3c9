// One knock, one connection, enforced by the kernel: the nftables driver on a real kernel, both families (attacks 13 to
// 16 of the list), and what becomes of grants and connections when the rules are set once more.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { ACK, FIN, RST, SYN } from '../../lib/packet/view.ts';
import type { Grant, Service } from '../../lib/firewall/driver.ts';
import { startAgent, type Agent } from '../support/agent.ts';
import { frame } from '../support/frames.ts';
import { createWorld, type World } from '../support/netns.ts';
import { startDriver, type RemoteDriver } from './nftables-driver.ts';
import { describeInNamespaces, inject, pause } from './support.ts';

const ROUNDS = 300;
const ssh: Service = { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 20_000, connections: 1 };
const web: Service = { ...ssh, name: 'web', port: 443, connections: 3 };
const anyNumber: Service = { ...ssh, name: 'any', port: 8080, connections: 'unlimited' };
const dns: Service = { ...ssh, name: 'dns', protocol: 'udp', port: 5353, connections: 2 };
const ALL = [ssh, web, anyNumber, dns];
/** Holds client and stranger. */
const PREFIX = { 4: '10.77.0.0/29', 6: 'fd77::/125' };
/** One more address outside, which it does not hold. */
const BEYOND = { 4: '10.77.0.9', 6: 'fd77::9' };

describeInNamespaces('one knock, one connection (nftables)', function () {
  this.timeout(120_000);
  const folder = mkdtempSync(join(tmpdir(), 'portknock-race-'));
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
    rmSync(folder, { recursive: true });
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

    it(`admits one connection from the granted source, and no other (IPv${family})`, async () => {
      assert.equal(await connect(), 'refused', 'before the grant');
      await driver.open(grant(ssh, world.client[family]));
      assert.equal(await connect(22, world.stranger[family]), 'refused', 'from another source');
      assert.equal(await connect(443), 'refused', 'to another service');
      assert.equal(await connect(), 'talks', 'the first');
      assert.equal(await connect(), 'refused', 'the second');
      assert.deepEqual(await driver.list(null), []);
    });

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

    it(`admits connections from a granted prefix, all its addresses together (IPv${family})`, async () => {
      for (const [first, second] of [
        [world.client[family], world.stranger[family]],
        [world.stranger[family], world.client[family]],
      ] as const) {
        await driver.open(grant(ssh, PREFIX[family]));
        assert.equal(await connect(22, BEYOND[family]), 'refused', 'from beyond the prefix');
        assert.equal(await connect(443, first), 'refused', 'to another service');
        assert.equal(await connect(22, first), 'talks', 'the first');
        assert.equal(await connect(22, first), 'refused', 'the second');
        assert.equal(await connect(22, second), 'refused', 'the second, from another address');
        assert.deepEqual(await driver.list(null), []);
      }
      await driver.open(grant(web, PREFIX[family]));
      const outcomes: string[] = [];
      for (const source of ['client', 'stranger', 'client', 'stranger'] as const)
        outcomes.push(await connect(443, world[source][family]));
      assert.deepEqual(outcomes, ['talks', 'talks', 'talks', 'refused']);
    });

    it(`spends an address's own grant first, then the longer prefix, then the shorter (IPv${family})`, async () => {
      const wide = family === 4 ? '10.77.0.0/16' : 'fd77::/32';
      const sources = [wide, PREFIX[family], world.client[family]];
      for (const source of sources) await driver.open(grant(ssh, source));
      for (let left = 2; left >= 0; left -= 1) {
        assert.equal(await connect(), 'talks');
        assert.deepEqual(
          (await driver.list(null)).map(({ source }) => source).sort(),
          sources.slice(0, left).sort(),
        );
      }
      assert.equal(await connect(), 'refused');
    });

    it(`admits any number when unlimited, until it is closed (IPv${family})`, async () => {
      for (const source of [world.client[family], PREFIX[family]]) {
        await driver.open(grant(anyNumber, source));
        assert.deepEqual(await several(3, 8080), ['talks', 'talks', 'talks']);
        await driver.close(grant(anyNumber, source));
        assert.equal(await connect(8080), 'refused');
      }
    });

    it(`refuses what was revoked, and keeps the session that was there (IPv${family})`, async () => {
      await driver.open(grant(ssh, world.client[family]));
      const lives = await session();
      await driver.open(grant(ssh, world.client[family]));
      await driver.close(grant(ssh, world.client[family]));
      assert.equal(await connect(), 'refused');
      await lives('revoked');
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
        for (let length = 12; length < 24; length += 1) {
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

    for (const [whom, source] of [
      ['address', () => world.client[family]],
      ['prefix', () => PREFIX[family]],
    ] as const) {
      it(`does not let spoofed or stray packets spend the grant (${whom}, IPv${family})`, async () => {
        await driver.open(grant(ssh, source()));
        const [src, dst] = [world.client[family], world.address[family]];
        const packet = (srcPort: number, flags: number, seq = 77): Buffer =>
          frame({ src, dst, protocol: 'tcp', srcPort, dstPort: 22, flags, seq });
        const stray = [SYN, ACK, FIN, RST, SYN | ACK, 0, FIN | 8 | 32, FIN | ACK].map((flags, i) =>
          packet(50_000 + i, flags),
        );
        // A blind attacker's whole handshake: the acknowledgement cannot be right.
        await inject(world, [...stray, packet(50_100, SYN), packet(50_100, ACK, 78)]);
        // The same once the client has answered our SYN-ACK with a reset: for every other first number of ours, a lax
        // tracker takes any acknowledgement then.
        const ports = Array.from({ length: 16 }, (_, i) => 50_200 + i);
        await inject(
          world,
          ports.map((port) => packet(port, SYN)),
        );
        await pause(100);
        await inject(
          world,
          ports.flatMap((port) => [packet(port, ACK, 78), packet(port, ACK, 78)]),
        );
        assert.equal((await driver.list(null)).length, 1);
        assert.equal(await connect(), 'talks');
        assert.equal(await connect(), 'refused');
      });

      it(`refuses a new connection on the ports of one that the server reset (${whom}, IPv${family})`, async () => {
        for (const [i, service] of [ssh, anyNumber].entries()) {
          const localPort = 45_000 + family + (whom === 'prefix' ? 10 : 0) + 20 * i;
          const peer = { host: world.address[family], source: world.client[family], port: service.port };
          await driver.open(grant(service, source()));
          const first = await outside.connect({ ...peer, localPort });
          assert.equal(first.outcome, 'talks');
          await driver.close(grant(service, source()));
          assert.ok((await gateway.reset(null)) >= 1);
          await outside.hangUp({ id: first.id });
          assert.equal((await outside.connect({ ...peer, localPort })).outcome, 'refused', service.name);
        }
      });

      it(`lets a repeated SYN and a lost SYN-ACK connect (${whom}, IPv${family})`, async () => {
        const filter = family === 4 ? 'iptables-nft' : 'ip6tables-nft';
        for (const { service, then } of [
          { service: ssh, then: 'refused' },
          { service: anyNumber, then: 'talks' },
        ]) {
          const { port } = service;
          const lossy = [
            '-p',
            'tcp',
            '--sport',
            String(port),
            '--tcp-flags',
            'SYN,ACK',
            'SYN,ACK',
            '-j',
            'DROP',
          ];
          await world.gateway.must(filter, ['-I', 'OUTPUT', '1', ...lossy]);
          await driver.open(grant(service, source()));
          const waiting = outside.connect({ host: world.address[family], port, timeoutMs: 8000 });
          await pause(1300);
          await world.gateway.must(filter, ['-D', 'OUTPUT', ...lossy]);
          const { outcome, ms } = await waiting;
          assert.equal(outcome, 'talks');
          assert.ok(ms > 1000, `connected only by a repeated SYN, after ${ms.toFixed(0)} ms`);
          assert.equal(await connect(port), then);
        }
      });

      it(`admits exactly one of eight racing connections, ${ROUNDS} times (${whom}, IPv${family})`, async () => {
        const program = join(folder, 'race');
        const build = spawnSync('cc', ['-O2', '-pthread', '-o', program, 'test/e2e/native/race.c'], {
          encoding: 'utf8',
        });
        assert.equal(build.status, 0, build.stderr);
        for (const [service, admits] of [
          [ssh, 1],
          [web, 3],
        ] as const) {
          const racer = world.outside.spawn(program, [world.address[family], String(service.port)], {
            stdio: ['pipe', 'pipe', 'inherit'],
          });
          assert.ok(racer.stdin !== null && racer.stdout !== null);
          const answers = createInterface({ input: racer.stdout })[Symbol.asyncIterator]();
          const counts = new Map<number, number>();
          for (let round = 0; round < ROUNDS; round += 1) {
            await driver.open(grant(service, source()));
            racer.stdin.write('go\n');
            const admitted = Number((await answers.next()).value);
            counts.set(admitted, (counts.get(admitted) ?? 0) + 1);
          }
          racer.stdin.end();
          await once(racer, 'exit');
          assert.deepEqual([...counts], [[admits, ROUNDS]], 'admitted connections per round, and how often');
        }
      });
    }
  }
});
