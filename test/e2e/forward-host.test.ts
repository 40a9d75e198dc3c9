// Services behind the gateway of a host with rules of its own: a FORWARD that drops, tables with some chains and not with
// others, and what is left of ours after a tear-down: nothing, byte for byte.

import assert from 'node:assert/strict';
import type { Grant, Service } from '../../lib/firewall/driver.ts';
import { startAgent, type Agent } from '../support/agent.ts';
import { joinInner, type Inner } from '../support/inner.ts';
import { createWorld, type World } from '../support/netns.ts';
import { startDriver, type RemoteDriver } from './nftables-driver.ts';
import { describeInNamespaces } from './support.ts';

const nas: Service = {
  ...{ name: 'nas', protocol: 'tcp', port: 2222, openForMs: 20_000, connections: 1 },
  to: { host: '10.78.0.5', port: 22 },
};
const nas6: Service = { ...nas, name: 'nas6', port: 2223, to: { host: 'fd78::5', port: 22 } };
const dns: Service = {
  ...nas,
  name: 'dns',
  protocol: 'udp',
  port: 5353,
  to: { host: '10.78.0.5', port: 53 },
};
const ALL = [nas, nas6, dns];
/** Passes what is up already, as many hosts do, and nothing else. */
const FORWARD = (policy: 'drop' | 'accept', ...rules: readonly string[]): string =>
  [
    'table inet filter {',
    'chain forward {',
    `type filter hook forward priority filter; policy ${policy};`,
    ...rules,
    '}',
    '}',
    '',
  ].join('\n');

for (const which of ['iptables-legacy', 'iptables-nft', 'nftables'] as const) {
  describeInNamespaces(`services behind the gateway of a host with rules (${which})`, function () {
    this.timeout(60_000);
    let world: World;
    let inner: Inner;
    let driver: RemoteDriver;
    let inside: Agent;
    let outside: Agent;
    const iptables = which === 'nftables' ? 'iptables-nft' : which;
    const programs = [iptables, iptables.replace('ip', 'ip6')];
    const make = (more: object = {}): Promise<null> =>
      driver.make(
        which === 'nftables' ? more : { backend: which === 'iptables-nft' ? ('nft' as const) : 'legacy' },
      );

    before(async () => {
      world = await createWorld();
      inner = await joinInner(world);
      [driver, inside, outside] = await Promise.all([
        startDriver(world.gateway),
        startAgent(inner.space),
        startAgent(world.outside),
      ]);
      await inside.echo({ port: 22 });
      await inside.echoDatagrams({ port: 53 });
    });

    beforeEach(() => make());

    afterEach(async () => {
      await driver.teardown(null);
      await world.gateway.must('nft', ['flush', 'ruleset']);
      for (const program of ['iptables-legacy', 'ip6tables-legacy']) {
        for (const chain of ['INPUT', 'FORWARD']) await world.gateway.must(program, ['-P', chain, 'ACCEPT']);
        for (const table of ['filter', 'nat']) await world.gateway.must(program, ['-t', table, '-F']);
      }
    });

    after(async () => {
      await Promise.all([driver.stop(), inside.stop(), outside.stop()]);
      await inner.destroy();
      await world.destroy();
    });

    const grant = (service: Service, source: string): Grant => ({
      ...{ id: 'test', client: 'test', source, service: service.name, protocol: service.protocol },
      ...{ port: service.port, openUntil: Date.now() + service.openForMs, connections: service.connections },
    });
    const connect = async (family: 4 | 6, port: number): Promise<string> =>
      (await outside.connect({ host: world.address[family], port, source: world.client[family] })).outcome;
    /** Each service once, and once more. */
    const assertGranted = async (): Promise<void> => {
      for (const [family, service] of [
        [4, nas],
        [6, nas6],
      ] as const) {
        await driver.open(grant(service, world.client[family]));
        const { outcome, id } = await outside.connect({ host: world.address[family], port: service.port });
        assert.equal(outcome, 'talks', service.name);
        assert.equal(await connect(family, service.port), 'refused', `${service.name}, once more`);
        assert.equal(await outside.talk({ id }), true, `${service.name}, still`);
      }
      await driver.open(grant(dns, world.client[4]));
      const ask = { host: world.address[4], port: 5353, source: world.client[4] };
      assert.deepEqual([await outside.ask(ask), await outside.ask(ask)], [true, false]);
    };
    const rules = async (): Promise<string> => {
      const legacy = ['iptables-legacy-save', 'ip6tables-legacy-save'].flatMap((tool) =>
        ['filter', 'nat'].map((table) => world.gateway.must(tool, ['-t', table])),
      );
      const others = ['iptables-nft-save', 'ip6tables-nft-save'].map((tool) => world.gateway.must(tool, []));
      const all = await Promise.all([...legacy, ...others, world.gateway.must('nft', ['list', 'ruleset'])]);
      return all.join('\n--\n').replace(/^#.*\n|\[\d+:\d+\]|packets \d+ bytes \d+/gmu, '');
    };

    it('lets its own flows through a FORWARD that drops, and nothing else', async () => {
      if (which === 'nftables') {
        await world.gateway.must('nft', ['-f', '-'], { input: FORWARD('drop') });
        await make({ forwardChain: 'inet filter forward' });
      } else for (const program of programs) await world.gateway.must(program, ['-P', 'FORWARD', 'DROP']);
      assert.deepEqual(await driver.setup(ALL), []);
      await assertGranted();
      for (const family of [4, 6] as const) {
        const via = [
          'route',
          'add',
          family === 4 ? '10.78.0.0/24' : 'fd78::/64',
          'via',
          world.address[family],
        ];
        await world.outside.must('ip', family === 4 ? via : ['-6', ...via]);
        await driver.open(grant(family === 4 ? nas : nas6, world.client[family]));
        const { outcome } = await outside.connect({ host: inner.address[family], port: 22, timeoutMs: 300 });
        assert.equal(outcome, 'timeout', 'straight to the inner host');
      }
    });

    it('leaves what was there before, byte for byte', async () => {
      const hosts: readonly (() => Promise<unknown>)[] = [
        () => Promise.resolve(),
        async () => {
          for (const program of programs) {
            await world.gateway.must(program, ['-A', 'INPUT', '-p', 'tcp', '--dport', '25', '-j', 'DROP']);
            await world.gateway.must(program, [
              '-t',
              'nat',
              '-A',
              'POSTROUTING',
              '-o',
              'gw0',
              '-j',
              'MASQUERADE',
            ]);
          }
        },
        async () => {
          for (const program of programs) {
            await world.gateway.must(program, ['-A', 'FORWARD', '-i', 'gw9', '-j', 'DROP']);
            await world.gateway.must(program, [
              '-t',
              'nat',
              '-A',
              'PREROUTING',
              '-p',
              'tcp',
              '--dport',
              '25',
              '-j',
              'RETURN',
            ]);
          }
        },
      ];
      for (const prepare of hosts) {
        await prepare();
        const before = await rules();
        await driver.setup(ALL);
        await assertGranted();
        await driver.setup([nas]);
        await driver.setup([]);
        await driver.setup(ALL);
        await make();
        await driver.setup(ALL);
        assert.notEqual(await rules(), before);
        await driver.teardown(null);
        assert.equal(await rules(), before);
        await make();
      }
    });

    it('ends sessions at a tear-down, unless the kernel translates addresses for another reason', async () => {
      for (const isAlone of [true, false]) {
        if (!isAlone)
          await world.gateway.must(iptables, [
            '-t',
            'nat',
            '-A',
            'POSTROUTING',
            '-o',
            'gw9',
            '-j',
            'MASQUERADE',
          ]);
        await driver.setup(ALL);
        await driver.open(grant(nas, world.client[4]));
        const { outcome, id } = await outside.connect({ host: world.address[4], port: nas.port });
        assert.equal(outcome, 'talks');
        await driver.teardown(null);
        assert.equal(await outside.talk({ id, ...(isAlone && { timeoutMs: 1000 }) }), !isAlone);
        await make();
      }
    });

    if (which === 'nftables')
      it('says whom the host stops on their way, and how to change that', async () => {
        const cases: readonly (readonly [rules: string, warned: RegExp | null])[] = [
          [FORWARD('accept'), null],
          [FORWARD('drop', 'ct status dnat accept'), null],
          [FORWARD('drop', 'ip daddr 10.78.0.5 accept', 'ip6 daddr fd78::/64 accept'), null],
          [
            FORWARD('drop', 'ct state established,related accept'),
            /nas at 10\.78\.0\.5:22, nas6 at \[fd78::5\]:22/u,
          ],
          [FORWARD('accept', 'tcp dport 22 drop'), /nas at 10\.78\.0\.5:22, nas6 at \[fd78::5\]:22, also/u],
        ];
        for (const [input, warned] of cases) {
          await world.gateway.must('nft', ['-f', '-'], { input });
          const lines = await driver.setup(ALL);
          assert.equal(lines.length, warned === null ? 0 : 1, lines.join('\n'));
          if (warned !== null) {
            assert.match(lines[0] ?? '', warned);
            assert.match(
              lines[0] ?? '',
              /\(say forward_chain: 'inet filter forward', or accept it there\)$/u,
            );
            assert.equal(await connect(4, 2222), 'refused');
          }
          await driver.teardown(null);
          await world.gateway.must('nft', ['flush', 'ruleset']);
        }
        await world.gateway.must('iptables-nft', ['-P', 'FORWARD', 'DROP']);
        const [line = ''] = await driver.setup(ALL);
        assert.match(
          line,
          /^iptables-nft does not let connections on to nas at .*\(use the iptables driver, or/u,
        );
        await world.gateway.must('iptables-nft', [
          '-A',
          'FORWARD',
          '-m',
          'conntrack',
          '--ctstate',
          'DNAT',
          '-j',
          'ACCEPT',
        ]);
        assert.deepEqual(await driver.setup(ALL), []);
      });
  });
}
