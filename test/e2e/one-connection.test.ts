// One grant, one connection, enforced by the kernel: each driver alone on a real kernel, both families, addresses and
// prefixes. Attacks 14 to 16 have their bodies in connection.ts, and go through the whole gateway in attacks/.

import assert from 'node:assert/strict';
import type { Grant, Service } from '../../lib/firewall/driver.ts';
import { startAgent, type Agent } from '../support/agent.ts';
import { createWorld, type World } from '../support/netns.ts';
import {
  admitsInRaces,
  connectsAgain,
  type Door,
  ENDS,
  FORGED,
  keepsPortsShut,
  survivesForged,
} from './connection.ts';
import { startDriver, type RemoteDriver } from './nftables-driver.ts';
import { describeInNamespaces } from './support.ts';

/** Where the kernel alone decides; a grant costs the iptables driver far less. */
const ROUNDS = { iptables: 1000, nftables: 300 };
const ssh: Service = { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 60_000, connections: 1 };
const web: Service = { ...ssh, name: 'web', port: 443, connections: 3 };
const any: Service = { ...ssh, name: 'any', port: 8080, connections: 'unlimited' };
const ALL = [ssh, web, any];
/** Holds client and stranger. */
const PREFIX = { 4: '10.77.0.0/29', 6: 'fd77::/125' };
/** One more address outside, which it does not hold. */
const BEYOND = { 4: '10.77.0.9', 6: 'fd77::9' };

for (const which of ['iptables-legacy', 'iptables-nft', 'nftables'] as const) {
  describeInNamespaces(`one grant, one connection (${which})`, function () {
    this.timeout(300_000);
    let world: World;
    let driver: RemoteDriver;
    let inside: Agent;
    let outside: Agent;

    before(async () => {
      world = await createWorld();
      [driver, inside, outside] = await Promise.all([
        startDriver(world.gateway),
        startAgent(world.gateway),
        startAgent(world.outside),
      ]);
      await driver.make(which === 'nftables' ? {} : { backend: which === 'iptables-nft' ? 'nft' : 'legacy' });
      await driver.setup(ALL);
      for (const { port } of ALL) await inside.echo({ port });
      await world.outside.must('ip', ['addr', 'add', `${BEYOND[4]}/24`, 'dev', 'out0']);
      const unasked = ['preferred_lft', '0', 'nodad'];
      await world.outside.must('ip', ['-6', 'addr', 'add', `${BEYOND[6]}/64`, 'dev', 'out0', ...unasked]);
    });

    after(async () => {
      await Promise.all([driver.stop(), inside.stop(), outside.stop()]);
      await world.destroy();
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
        await driver.open(grant(ssh, world.client[family]));
        assert.equal(await connect(22, world.stranger[family]), 'refused', 'from another source');
        assert.equal(await connect(443), 'refused', 'to another service');
        assert.equal(await connect(), 'talks', 'the first');
        assert.equal(await connect(), 'refused', 'the second');
        assert.deepEqual(await driver.list(null), []);
      });

      it(`admits as many connections as the service says (IPv${family})`, async () => {
        await driver.open(grant(web, world.client[family]));
        const outcomes = [await connect(443), await connect(443), await connect(443), await connect(443)];
        assert.deepEqual(outcomes, ['talks', 'talks', 'talks', 'refused']);
        await driver.open({ ...grant(web, world.client[family]), connections: 1 });
        assert.deepEqual([await connect(443), await connect(443)], ['talks', 'refused']);
      });

      it(`admits one connection from a granted prefix, whichever of its addresses comes first (IPv${family})`, async () => {
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
      });

      it(`admits as many connections from a prefix as the service says, all its addresses together (IPv${family})`, async () => {
        await driver.open(grant(web, PREFIX[family]));
        const outcomes: string[] = [];
        for (const source of ['client', 'stranger', 'client', 'stranger', 'client'] as const)
          outcomes.push(await connect(443, world[source][family]));
        assert.deepEqual(outcomes, ['talks', 'talks', 'talks', 'refused', 'refused']);
        await driver.open(grant(any, PREFIX[family]));
        for (const source of ['client', 'stranger', 'client'] as const)
          assert.equal(await connect(8080, world[source][family]), 'talks');
        await driver.close(grant(any, PREFIX[family]));
        assert.equal(await connect(8080), 'refused');
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
        await driver.open(grant(any, world.client[family]));
        assert.deepEqual(
          [await connect(8080), await connect(8080), await connect(8080)],
          ['talks', 'talks', 'talks'],
        );
        await driver.close(grant(any, world.client[family]));
        assert.equal(await connect(8080), 'refused');
      });

      it(`refuses what was revoked, and keeps the session that was there (IPv${family})`, async () => {
        await driver.open(grant(ssh, world.client[family]));
        const session = await outside.connect({ host: world.address[family], port: 22 });
        assert.equal(session.outcome, 'talks');
        await driver.open(grant(ssh, world.client[family]));
        await driver.close(grant(ssh, world.client[family]));
        assert.equal(await connect(), 'refused');
        assert.equal(await outside.talk({ id: session.id }), true);
        await outside.hangUp({ id: session.id });
      });

      for (const whom of ['address', 'prefix'] as const) {
        const sourceOf = (): string => (whom === 'address' ? world.client : PREFIX)[family];
        const door = (service: Service): Door => ({
          ...{ world, inside, outside, family, port: service.port },
          open: async () => {
            await driver.open(grant(service, sourceOf()));
            return service.connections === 'unlimited' ? Infinity : service.connections;
          },
        });

        for (const what of Object.keys(FORGED))
          it(`attack 14: does not let ${what} spend the grant (${whom}, IPv${family})`, async () => {
            await survivesForged(door(ssh), what);
            await survivesForged(door(web), what);
          });

        for (const end of ENDS)
          it(`attack 15: refuses what comes on the ports of the first after the ${end} (${whom}, IPv${family})`, async () => {
            await keepsPortsShut(door(ssh), end);
          });

        const rounds = ROUNDS[which === 'nftables' ? which : 'iptables'];
        it(`attack 15: admits exactly one of eight racing connections, ${rounds} times (${whom}, IPv${family})`, async () => {
          await admitsInRaces(door(ssh), rounds);
        });

        it(`attack 15: admits exactly three of eight where the service says so (${whom}, IPv${family})`, async () => {
          await admitsInRaces(door(web), rounds / 4);
        });

        it(`attack 16: lets a repeated SYN and a lost SYN-ACK connect (${whom}, IPv${family})`, async () => {
          const iptables = which === 'nftables' ? 'iptables-nft' : which;
          await connectsAgain(door(ssh), { iptables });
          await connectsAgain(door(any), { iptables });
          await driver.close(grant(any, sourceOf()));
        });

        it(`attack 15: refuses the ports of one that the server reset, of any number too, when closed (${whom}, IPv${family})`, async () => {
          const { open, ...rest } = door(any);
          const opened = async (): Promise<number> => {
            await open();
            return 1;
          };
          const closed = (): Promise<unknown> => driver.close(grant(any, sourceOf()));
          await keepsPortsShut({ ...rest, open: opened }, 'reset of the server', closed);
        });
      }
    }
  });
}
