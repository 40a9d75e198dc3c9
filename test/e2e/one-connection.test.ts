// One knock, one connection, enforced by the kernel: the iptables driver on a real kernel, both back-ends and families
// (attacks 13 to 16 of the list).

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
import { inject, describeInNamespaces } from './support.ts';

const ROUNDS = 1000;
const ssh: Service = { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 20_000, connections: 1 };
const web: Service = { name: 'web', protocol: 'tcp', port: 443, openForMs: 20_000, connections: 3 };
const any: Service = {
  name: 'any',
  protocol: 'tcp',
  port: 8080,
  openForMs: 20_000,
  connections: 'unlimited',
};

/** Holds client and stranger. */
const PREFIX = { 4: '10.77.0.0/29', 6: 'fd77::/125' };
/** One more address outside, which it does not hold. */
const BEYOND = { 4: '10.77.0.9', 6: 'fd77::9' };

for (const backend of ['legacy', 'nft'] as const) {
  describeInNamespaces(`one knock, one connection (iptables-${backend})`, function () {
    this.timeout(120_000);
    const folder = mkdtempSync(join(tmpdir(), 'portknock-race-'));
    let world: World;
    let gateway: Agent;
    let outside: Agent;

    before(async () => {
      world = await createWorld();
      [gateway, outside] = await Promise.all([startAgent(world.gateway), startAgent(world.outside)]);
      await gateway.setup({ backend, services: [ssh, web, any] });
      for (const { port } of [ssh, web, any]) await gateway.echo({ port });
      await world.outside.must('ip', ['addr', 'add', `${BEYOND[4]}/24`, 'dev', 'out0']);
      const unasked = ['preferred_lft', '0', 'nodad'];
      await world.outside.must('ip', ['-6', 'addr', 'add', `${BEYOND[6]}/64`, 'dev', 'out0', ...unasked]);
    });

    after(async () => {
      await Promise.all([gateway.stop(), outside.stop()]);
      await world.destroy();
      rmSync(folder, { recursive: true });
    });

    const grant = (service: Service, source: string): Grant => ({
      ...{ id: 'test', client: 'test', source, service: service.name, protocol: service.protocol },
      ...{ port: service.port, openUntil: Date.now() + service.openForMs, connections: service.connections },
    });

    for (const family of [4, 6] as const) {
      const connect = async (port = 22, source = world.client[family]): Promise<string> => {
        const result = await outside.connect({ host: world.address[family], port, source });
        return result.outcome;
      };

      it(`admits one connection from the granted source, and no other (IPv${family})`, async () => {
        assert.equal(await connect(), 'refused', 'before the grant');
        await gateway.open(grant(ssh, world.client[family]));
        assert.equal(await connect(22, world.stranger[family]), 'refused', 'from another source');
        assert.equal(await connect(443), 'refused', 'to another service');
        assert.equal(await connect(), 'talks', 'the first');
        assert.equal(await connect(), 'refused', 'the second');
        assert.deepEqual(await gateway.list(null), []);
      });

      it(`admits as many connections as the service says (IPv${family})`, async () => {
        await gateway.open(grant(web, world.client[family]));
        const outcomes = [await connect(443), await connect(443), await connect(443), await connect(443)];
        assert.deepEqual(outcomes, ['talks', 'talks', 'talks', 'refused']);
        await gateway.open({ ...grant(web, world.client[family]), connections: 1 });
        assert.deepEqual([await connect(443), await connect(443)], ['talks', 'refused']);
      });

      it(`admits one connection from a granted prefix, whichever of its addresses comes first (IPv${family})`, async () => {
        for (const [first, second] of [
          [world.client[family], world.stranger[family]],
          [world.stranger[family], world.client[family]],
        ] as const) {
          await gateway.open(grant(ssh, PREFIX[family]));
          assert.equal(await connect(22, BEYOND[family]), 'refused', 'from beyond the prefix');
          assert.equal(await connect(443, first), 'refused', 'to another service');
          assert.equal(await connect(22, first), 'talks', 'the first');
          assert.equal(await connect(22, first), 'refused', 'the second');
          assert.equal(await connect(22, second), 'refused', 'the second, from another address');
          assert.deepEqual(await gateway.list(null), []);
        }
      });

      it(`admits as many connections from a prefix as the service says, all its addresses together (IPv${family})`, async () => {
        await gateway.open(grant(web, PREFIX[family]));
        const outcomes: string[] = [];
        for (const source of ['client', 'stranger', 'client', 'stranger', 'client'] as const)
          outcomes.push(await connect(443, world[source][family]));
        assert.deepEqual(outcomes, ['talks', 'talks', 'talks', 'refused', 'refused']);
        await gateway.open(grant(any, PREFIX[family]));
        for (const source of ['client', 'stranger', 'client'] as const)
          assert.equal(await connect(8080, world[source][family]), 'talks');
        await gateway.close(grant(any, PREFIX[family]));
        assert.equal(await connect(8080), 'refused');
      });

      it(`spends an address's own grant first, then the longer prefix, then the shorter (IPv${family})`, async () => {
        const wide = family === 4 ? '10.77.0.0/16' : 'fd77::/32';
        const sources = [wide, PREFIX[family], world.client[family]];
        for (const source of sources) await gateway.open(grant(ssh, source));
        for (let left = 2; left >= 0; left -= 1) {
          assert.equal(await connect(), 'talks');
          assert.deepEqual(
            (await gateway.list(null)).map(({ source }) => source).sort(),
            sources.slice(0, left).sort(),
          );
        }
        assert.equal(await connect(), 'refused');
      });

      it(`admits any number when unlimited, until it is closed (IPv${family})`, async () => {
        await gateway.open(grant(any, world.client[family]));
        assert.deepEqual(
          [await connect(8080), await connect(8080), await connect(8080)],
          ['talks', 'talks', 'talks'],
        );
        await gateway.close(grant(any, world.client[family]));
        assert.equal(await connect(8080), 'refused');
      });

      it(`refuses what was revoked, and keeps the session that was there (IPv${family})`, async () => {
        await gateway.open(grant(ssh, world.client[family]));
        const session = await outside.connect({ host: world.address[family], port: 22 });
        assert.equal(session.outcome, 'talks');
        await gateway.open(grant(ssh, world.client[family]));
        await gateway.close(grant(ssh, world.client[family]));
        assert.equal(await connect(), 'refused');
        assert.equal(await outside.talk({ id: session.id }), true);
        await outside.hangUp({ id: session.id });
      });

      for (const [whom, source] of [
        ['address', () => world.client[family]],
        ['prefix', () => PREFIX[family]],
      ] as const) {
        it(`does not let spoofed or stray packets spend the grant (${whom}, IPv${family})`, async () => {
          await gateway.open(grant(ssh, source()));
          const [src, dst] = [world.client[family], world.address[family]];
          const stray = [SYN, ACK, FIN, RST, SYN | ACK, 0, FIN | 8 | 32, FIN | ACK].map((flags, i) =>
            frame({ src, dst, protocol: 'tcp', srcPort: 50_000 + i, dstPort: 22, flags, seq: 77 }),
          );
          // A blind attacker's whole handshake: the acknowledgement cannot be right.
          const blind = [SYN, ACK].map((flags) =>
            frame({
              src,
              dst,
              protocol: 'tcp',
              srcPort: 50_100,
              dstPort: 22,
              flags,
              seq: flags === SYN ? 77 : 78,
            }),
          );
          await inject(world, [...stray, ...blind]);
          assert.equal(await connect(), 'talks');
          assert.equal(await connect(), 'refused');
        });

        it(`refuses a new connection on the ports of one that the server reset (${whom}, IPv${family})`, async () => {
          const peer = { host: world.address[family], source: world.client[family], port: 22 };
          const localPort = 45_000 + family + (whom === 'prefix' ? 10 : 0);
          await gateway.open(grant(ssh, source()));
          const first = await outside.connect({ ...peer, localPort });
          assert.equal(first.outcome, 'talks');
          assert.ok((await gateway.reset(null)) >= 1);
          await outside.hangUp({ id: first.id });
          assert.equal((await outside.connect({ ...peer, localPort })).outcome, 'refused');
        });

        it(`lets a repeated SYN and a lost SYN-ACK connect (${whom}, IPv${family})`, async () => {
          const filter = family === 4 ? 'iptables' : 'ip6tables';
          const lossy = ['-p', 'tcp', '--sport', '22', '--tcp-flags', 'SYN,ACK', 'SYN,ACK', '-j', 'DROP'];
          await world.gateway.must(`${filter}-${backend}`, ['-I', 'OUTPUT', '1', ...lossy]);
          await gateway.open(grant(ssh, source()));
          const waiting = outside.connect({ host: world.address[family], port: 22, timeoutMs: 8000 });
          await new Promise((resolve) => setTimeout(resolve, 1300));
          await world.gateway.must(`${filter}-${backend}`, ['-D', 'OUTPUT', ...lossy]);
          const { outcome, ms } = await waiting;
          assert.equal(outcome, 'talks');
          assert.ok(ms > 1000, `connected only by a repeated SYN, after ${ms.toFixed(0)} ms`);
          assert.equal(await connect(), 'refused');
        });

        it(`admits exactly one of eight racing connections, ${ROUNDS} times (${whom}, IPv${family})`, async () => {
          const program = join(folder, 'race');
          const build = spawnSync('cc', ['-O2', '-pthread', '-o', program, 'test/e2e/native/race.c'], {
            encoding: 'utf8',
          });
          assert.equal(build.status, 0, build.stderr);
          const racer = world.outside.spawn(program, [world.address[family], '22'], {
            stdio: ['pipe', 'pipe', 'inherit'],
          });
          assert.ok(racer.stdin !== null && racer.stdout !== null);
          const answers = createInterface({ input: racer.stdout })[Symbol.asyncIterator]();
          const counts = new Map<number, number>();
          for (let round = 0; round < ROUNDS; round += 1) {
            await gateway.open(grant(ssh, source()));
            racer.stdin.write('go\n');
            const admitted = Number((await answers.next()).value);
            counts.set(admitted, (counts.get(admitted) ?? 0) + 1);
          }
          racer.stdin.end();
          await once(racer, 'exit');
          assert.deepEqual([...counts], [[1, ROUNDS]], 'admitted connections per round, and how often');
        });
      }
    }
  });
}
