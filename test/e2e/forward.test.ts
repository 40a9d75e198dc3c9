// Services behind the gateway on a real kernel: outside, gateway and inner host are three namespaces. Each driver alone,
// both families: what a local service is held to (one-connection.test.ts) holds for these, and nobody else gets through.

import assert from 'node:assert/strict';
import type { Grant, Service } from '../../lib/firewall/driver.ts';
import { startAgent, type Agent } from '../support/agent.ts';
import { joinInner, type Inner } from '../support/inner.ts';
import { createWorld, type World } from '../support/netns.ts';
import {
  admitsInRaces,
  connectsAgain,
  type Door,
  dropped,
  ENDS,
  FORGED,
  forgetEnded,
  keepsPortsShut,
  survivesForged,
} from './connection.ts';
import { startDriver, type RemoteDriver } from './nftables-driver.ts';
import { describeInNamespaces, pause } from './support.ts';

const ROUNDS = { iptables: 200, nftables: 100 };
/** Holds client and stranger. */
const PREFIX = { 4: '10.77.0.0/29', 6: 'fd77::/125' };

for (const which of ['iptables-legacy', 'iptables-nft', 'nftables'] as const) {
  describeInNamespaces(`services behind the gateway (${which})`, function () {
    this.timeout(120_000);
    let world: World;
    let inner: Inner;
    let driver: RemoteDriver;
    let inside: Agent;
    let outside: Agent;
    let gateway: Agent;

    const wayIn = (family: 4 | 6): readonly string[] => [
      family === 4 ? '10.78.0.0/24' : 'fd78::/64',
      'via',
      world.address[family],
    ];
    const options =
      which === 'nftables' ? {} : ({ backend: which === 'iptables-nft' ? 'nft' : 'legacy' } as const);
    const iptables = which === 'nftables' ? 'iptables-nft' : which;

    before(async () => {
      world = await createWorld();
      inner = await joinInner(world);
      [driver, inside, outside, gateway] = await Promise.all([
        startDriver(world.gateway),
        startAgent(inner.space),
        startAgent(world.outside),
        startAgent(world.gateway),
      ]);
      for (const port of [22, 23, 2300, 8080, 443]) await inside.echo({ port });
      await inside.echoDatagrams({ port: 53 });
      await gateway.echo({ port: 2200 });
    });

    after(async () => {
      await Promise.all([driver.stop(), inside.stop(), outside.stop(), gateway.stop()]);
      await inner.destroy();
      await world.destroy();
    });

    const grant = (service: Service, source: string, more: Partial<Grant> = {}): Grant => ({
      ...{ id: 'test', client: 'test', source, service: service.name, protocol: service.protocol },
      ...{ port: service.port, openUntil: Date.now() + service.openForMs, connections: service.connections },
      ...(service.to === undefined ? {} : { to: service.to }),
      ...more,
    });

    for (const family of [4, 6] as const) {
      const other = family === 4 ? 6 : 4;
      const at = (port: number): { host: string; port: number } => ({
        host: family === 4 ? '10.78.0.5' : 'fd78::5',
        port,
      });
      const nas: Service = {
        ...{ name: 'nas', protocol: 'tcp', port: 2222, openForMs: 20_000, connections: 1 },
        to: at(22),
      };
      const web: Service = { ...nas, name: 'web', port: 443, connections: 3, to: at(443) };
      const any: Service = { ...nas, name: 'any', port: 8080, connections: 'unlimited', to: at(8080) };
      /** The same port on both hosts. */
      const same: Service = { ...nas, name: 'same', port: 2300, to: at(2300) };
      const dns: Service = { ...nas, name: 'dns', protocol: 'udp', port: 5353, connections: 2, to: at(53) };
      const ssh: Service = { name: 'ssh', protocol: 'tcp', port: 2200, openForMs: 20_000, connections: 1 };
      const ALL = [nas, web, any, same, dns, ssh];
      const connect = async (port = 2222, source = world.client[family]): Promise<string> =>
        (await outside.connect({ host: world.address[family], port, source })).outcome;
      const session = async (port = 2222): Promise<(when: string) => Promise<void>> => {
        const { id, outcome } = await outside.connect({ host: world.address[family], port });
        assert.equal(outcome, 'talks');
        return async (when) => assert.equal(await outside.talk({ id }), true, when);
      };

      describe(`over IPv${family}`, () => {
        before(async () => {
          await driver.make(options);
          await driver.setup(ALL);
        });

        after(() => driver.teardown(null));

        it('admits one connection from the granted source, and no other', async () => {
          assert.equal(await connect(), 'refused', 'before the grant');
          await driver.open(grant(nas, world.client[family]));
          assert.equal(await connect(2222, world.stranger[family]), 'refused', 'from another source');
          assert.equal(await connect(443), 'refused', 'to another service');
          assert.equal(await connect(), 'talks', 'the first');
          assert.equal(await connect(), 'refused', 'the second');
          assert.deepEqual(await driver.list(null), []);
        });

        it('sends on what the grant is for, and nothing that comes by other ways', async () => {
          await driver.open(grant(nas, world.client[family]));
          assert.equal(await connect(22), 'refused', 'the inner port, here');
          await driver.open(grant(ssh, world.client[family]));
          assert.equal(await connect(2200), 'talks', 'a service of this host');
          await world.outside.must('ip', [`-${family}`, 'route', 'replace', ...wayIn(family)]);
          const passing = { host: inner.address[family], source: world.client[family], port: 2222 };
          assert.equal(
            (await outside.connect(passing)).outcome,
            'refused',
            'to another host, by way of this one',
          );
          assert.equal(await connect(), 'talks');
        });

        it('looks as the other closed ports do to strangers, and to who has used his grant up', async () => {
          const nmap = async (source: string): Promise<string> => {
            const { stdout } = await world.outside.run('nmap', [
              ...(family === 6 ? ['-6'] : []),
              ...['-n', '-Pn', '-sS', '-p', '2222,2223', '--reason', '-S', source, '-e', 'out0'],
              world.address[family],
            ]);
            const [one, two] = [...stdout.matchAll(/^\d+\/tcp (\S+) +\S+ +(.+)$/gmu)].map(
              ([, state = '', reason = '']) => `${state} ${reason}`,
            );
            assert.equal(one, two);
            return one ?? '';
          };
          assert.match(await nmap(world.stranger[family]), /^closed +reset/u);
          await driver.open(grant(nas, world.client[family]));
          assert.match(await nmap(world.stranger[family]), /^closed +reset/u);
          assert.equal(await connect(), 'talks');
          assert.match(await nmap(world.client[family]), /^closed +reset/u);
        });

        it('admits as many connections as the service says, of a prefix all its addresses together', async () => {
          for (const source of [world.client[family], PREFIX[family]]) {
            await driver.open(grant(web, source));
            const outcomes: string[] = [];
            for (let i = 0; i < 4; i += 1) outcomes.push(await connect(443));
            assert.deepEqual(outcomes, ['talks', 'talks', 'talks', 'refused'], source);
          }
          await driver.open(grant(any, PREFIX[family]));
          for (const source of ['client', 'stranger', 'client'] as const)
            assert.equal(await connect(8080, world[source][family]), 'talks');
          await driver.close(grant(any, PREFIX[family]));
          assert.equal(await connect(8080), 'refused');
        });

        it('admits as many datagram flows as the service says', async () => {
          const ask = (source: string): Promise<boolean> =>
            outside.ask({ host: world.address[family], port: 5353, source });
          assert.equal(await ask(world.client[family]), false);
          for (const source of [world.client[family], PREFIX[family]]) {
            await driver.open(grant(dns, source));
            for (const admitted of [true, true, false])
              assert.equal(await ask(world.client[family]), admitted, source);
            assert.deepEqual(await driver.list(null), []);
          }
        });

        it('refuses what was revoked or has run out, and keeps the session that was there', async () => {
          await driver.open(grant(nas, world.client[family]));
          const lives = await session();
          await driver.open(grant(nas, world.client[family]));
          await driver.close(grant(nas, world.client[family]));
          assert.equal(await connect(), 'refused', 'revoked');
          await lives('after it was revoked');
          const brief = { ...nas, openForMs: 1000 };
          await driver.setup([brief, ...ALL.slice(1)]);
          await driver.open(grant(brief, world.client[family]));
          await pause(2100);
          assert.equal(await connect(), 'refused', 'run out');
          await lives('after another ran out');
          await driver.setup(ALL);
        });

        it('does not open to a source of the other family', async () => {
          await assert.rejects(driver.open(grant(nas, world.client[other])), {
            code: 'ERR_FIREWALL_UNSUPPORTED',
            message: new RegExp(`where IPv${other} does not get \\(knock over IPv${family}\\)$`, 'u'),
          });
          const { outcome } = await outside.connect({ host: world.address[other], port: 2222 });
          assert.equal(outcome, 'refused');
          assert.deepEqual(await driver.list(null), []);
        });

        it('ends grants when the service moves, and keeps sessions whatever becomes of it', async () => {
          await driver.open(grant(nas, world.client[family]));
          const lives = await session();
          const local: Service = { ...ssh, name: 'nas', port: 2222 };
          for (const next of [{ ...nas, to: at(23) }, local]) {
            await driver.open(grant(nas, PREFIX[family]));
            await driver.open(grant(nas, world.client[family]));
            await driver.setup([next, ...ALL.slice(1)]);
            assert.deepEqual(await driver.list(null), []);
            assert.equal(await connect(), 'refused', 'by the grant for where it was');
            await lives('moved');
            await driver.setup(ALL);
            assert.equal(await connect(), 'refused', 'moved back');
          }
          for (const services of [[ssh], [], [{ ...nas, connections: 2 }], [{ ...nas, port: 2223 }], ALL]) {
            await driver.setup(services);
            await lives(JSON.stringify(services));
          }
          await driver.make(options);
          await driver.setup([ssh]);
          await lives('another run');
          await driver.setup(ALL);
          await driver.open(grant(nas, world.client[family]));
          assert.equal(await connect(), 'talks');
        });

        it('does not complete, by a grant for where the service is now, what began where it was', async () => {
          const filter = family === 4 ? iptables : iptables.replace('ip', 'ip6');
          const answers = ['OUTPUT', '-p', 'tcp', '--tcp-flags', 'SYN,ACK', 'SYN,ACK', '-j', 'DROP'];
          const otherHost = { host: at(22).host.replace(/5$/u, '6'), port: 22 };
          for (const to of [at(23), otherHost]) {
            await driver.open(grant(nas, world.client[family]));
            await inner.space.must(filter, ['-I', ...answers]);
            const waiting = outside.connect({ host: world.address[family], port: 2222 });
            await dropped({ space: inner.space, filter });
            const moved = { ...nas, to };
            await driver.setup([moved, ...ALL.slice(1)]);
            await driver.open(grant(moved, world.client[family]));
            await inner.space.must(filter, ['-D', ...answers]);
            assert.equal((await waiting).outcome, 'refused', 'where it was');
            assert.equal(await connect(), 'talks', 'where it is');
            await driver.setup(ALL);
          }
        });

        it('keeps the ports of a session shut that the server has reset, also when its service is gone', async () => {
          const peer = {
            host: world.address[family],
            source: world.client[family],
            port: 2222,
            localPort: 24_000 + family,
          };
          await driver.open(grant(nas, world.client[family]));
          assert.equal((await outside.connect(peer)).outcome, 'talks');
          await driver.setup(ALL.slice(1));
          await inside.reset(null);
          assert.notEqual((await outside.connect(peer)).outcome, 'talks');
          await driver.setup(ALL);
          await forgetEnded(world);
        });

        it('is taken over by the next run with what is left of its grants', async () => {
          const held = grant(web, world.client[family]);
          const moved = grant(nas, world.client[family]);
          for (const one of [held, moved]) await driver.open(one);
          assert.equal(await connect(443), 'talks');
          await driver.make(options);
          const services = [{ ...nas, to: at(23) }, web];
          assert.deepEqual(await driver.setupAfter({ services, held: [held, moved] }), []);
          assert.deepEqual(await driver.list(null), [{ service: 'web', source: world.client[family] }]);
          const outcomes = [await connect(443), await connect(443), await connect(443)];
          assert.deepEqual(outcomes, ['talks', 'talks', 'refused']);
          assert.equal(await connect(), 'refused', 'the one that moved');
          await driver.setup(ALL);
        });

        it('says what is missing where the host forwards nothing', async () => {
          const key = family === 4 ? 'net.ipv4.ip_forward' : 'net.ipv6.conf.all.forwarding';
          assert.deepEqual(await driver.setup(ALL), []);
          await world.gateway.must('sysctl', ['-qw', `${key}=0`]);
          try {
            const [line = '', ...more] = await driver.setup(ALL);
            assert.ok(line.startsWith(`${key} is 0: nothing gets through to service nas at `), line);
            assert.ok(line.includes(`(sysctl -w ${key}=1`), line);
            assert.deepEqual(more, []);
            assert.equal(await world.gateway.must('sysctl', ['-n', key]), '0\n');
          } finally {
            await world.gateway.must('sysctl', ['-qw', `${key}=1`]);
          }
        });

        it('refuses a target that is this host', async () => {
          const services = [{ ...nas, to: { host: world.address[family], port: 22 } }];
          await assert.rejects(driver.setup(services), {
            code: 'ERR_FIREWALL_UNSUPPORTED',
            message: /is an address of this host/u,
          });
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
            it(`attack 14: does not let ${what} spend the grant (${whom})`, async () => {
              await survivesForged(door(nas), what);
              await survivesForged(door(web), what);
            });

          for (const end of ENDS)
            it(`attack 15: refuses what comes on the ports of the first after the ${end} (${whom})`, async () => {
              await keepsPortsShut(door(nas), end);
            });

          const rounds = ROUNDS[which === 'nftables' ? which : 'iptables'];
          it(`attack 15: admits exactly one of eight racing connections, ${rounds} times (${whom})`, async () => {
            await admitsInRaces(door(nas), rounds);
          });

          it(`attack 16: lets a repeated SYN and a lost SYN-ACK connect (${whom})`, async () => {
            // The answer is lost on the inner host's side.
            await connectsAgain({ ...door(same), world: { ...world, gateway: inner.space } }, { iptables });
          });
        }
      });
    }
  });
}
