// The nftables driver beside the firewall that a host has already: what is said about it, what a closed port looks like,
// and the rule that is inserted where the host would drop.

import assert from 'node:assert/strict';
import type { Grant, Service } from '../../lib/firewall/driver.ts';
import { startAgent, type Agent } from '../support/agent.ts';
import { createWorld, type World } from '../support/netns.ts';
import { startDriver, type RemoteDriver } from './nftables-driver.ts';
import { describeInNamespaces } from './support.ts';

const ssh: Service = { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 20_000, connections: 1 };
const any: Service = { ...ssh, name: 'any', port: 8080, connections: 'unlimited' };
const dns: Service = { ...ssh, name: 'dns', protocol: 'udp', port: 5353 };
const CHAIN = 'inet filter input';
const NEIGHBOURS = 'icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept';

describeInNamespaces('nftables beside the firewall of the host', function () {
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
    // The kernel answers with ICMP only so often, also in all namespaces together.
    for (const name of [
      'ipv4.icmp_ratelimit=0',
      'ipv6.icmp.ratelimit=0',
      'ipv4.icmp_ratemask=0',
      'ipv6.icmp.ratemask=',
    ])
      await world.gateway.must('sysctl', ['-qw', `net.${name}`]);
    for (const port of [22, 8080]) await gateway.echo({ port });
    await gateway.echoDatagrams({ port: 5353 });
  });

  beforeEach(() => driver.make({}));

  afterEach(async () => {
    await driver.teardown(null);
    await world.gateway.must('nft', ['flush', 'ruleset']);
    for (const program of ['iptables-legacy', 'ip6tables-legacy']) {
      await world.gateway.must(program, ['-P', 'INPUT', 'ACCEPT']);
      await world.gateway.must(program, ['-F']);
    }
  });

  after(async () => {
    await Promise.all([driver.stop(), gateway.stop(), outside.stop()]);
    await world.destroy();
  });

  const grant = (service: Service, source: string): Grant => ({
    ...{ id: 'test', client: 'test', source, service: service.name, protocol: service.protocol },
    ...{ port: service.port, openUntil: Date.now() + service.openForMs, connections: service.connections },
  });
  const load = (input: string): Promise<string> => world.gateway.must('nft', ['-f', '-'], { input });
  /** Neighbours are always found, so that what is tried over IPv6 is the port. */
  const input = (hook: string, ...rules: readonly string[]): string =>
    ['table inet filter {', 'chain input {', hook, NEIGHBOURS, ...rules, '}', '}', ''].join('\n');
  const DROPS = 'type filter hook input priority filter; policy drop;';
  const ACCEPTS = 'type filter hook input priority filter; policy accept;';
  const nmap = async (family: 4 | 6, port: number, udp = false): Promise<string> => {
    const args = [...(family === 6 ? ['-6'] : []), '-n', '-Pn', udp ? '-sU' : '-sS', '--max-retries', '2'];
    const { stdout } = await world.outside.run('nmap', [
      ...args,
      // On a machine that stands still the answer comes late.
      ...['--min-rtt-timeout', '800ms', '-p', String(port), '--reason', world.address[family]],
    ]);
    const [, state = '', reason = ''] = /^\d+\/\w+ +(\S+) +\S+ +(\S+)/mu.exec(stdout) ?? [];
    return `${state} ${reason}`;
  };

  it('says nothing where nothing stops the granted', async () => {
    assert.deepEqual(await driver.setup([ssh, dns]), []);
    const quiet: readonly (readonly [string, ...string[]])[] = [
      [ACCEPTS],
      [DROPS, 'tcp dport 22 accept', 'udp dport 5353 accept'],
      [DROPS, 'tcp dport { 20-30, 80 } accept', 'ip saddr 10.0.0.0/8 accept'],
      [ACCEPTS, 'tcp dport 25 drop', 'ct state invalid drop'],
    ];
    for (const rules of quiet) {
      await load(`flush ruleset\n${input(...rules)}`);
      assert.deepEqual(await driver.setup([ssh, dns]), [], rules.join());
    }
  });

  const stopped: readonly [what: string, host: () => Promise<unknown>, warning: RegExp][] = [
    [
      'a table of nftables',
      () => load(input(DROPS, 'ct state established,related accept', 'tcp dport 80 accept')),
      /^nftables \(chain inet filter input\) does not let 22\/tcp, 5353\/udp through.*say chain: 'inet filter input'/u,
    ],
    [
      'a last rule of nftables',
      () => load(input(ACCEPTS, 'udp dport 5353 accept', 'reject with icmpx type admin-prohibited')),
      /^nftables \(chain inet filter input\) does not let 22\/tcp through/u,
    ],
    [
      'iptables-nft',
      async () => {
        for (const program of ['iptables-nft', 'ip6tables-nft'])
          await world.gateway.must(program, ['-P', 'INPUT', 'DROP']);
      },
      /^iptables-nft does not let 22\/tcp, 5353\/udp through.*use the iptables driver/u,
    ],
    [
      'iptables-legacy',
      async () => {
        await world.gateway.must('iptables-legacy', ['-P', 'INPUT', 'DROP']);
      },
      /^iptables-legacy does not let 22\/tcp, 5353\/udp through.*use the iptables driver/u,
    ],
    [
      'ufw',
      async () => {
        await world.gateway.must('iptables-nft', ['-N', 'ufw-user-input']);
        await world.gateway.must('iptables-nft', ['-A', 'INPUT', '-j', 'ufw-user-input']);
        await world.gateway.must('iptables-nft', ['-P', 'INPUT', 'DROP']);
      },
      /^ufw \(iptables-nft\) does not let 22\/tcp, 5353\/udp through.*ufw allow 22\/tcp/u,
    ],
    [
      'firewalld',
      () =>
        load(
          `table inet firewalld {\nchain filter_INPUT {\ntype filter hook input priority filter + 10; policy accept;\n` +
            'ct state { established, related } accept\nreject with icmpx type admin-prohibited\n}\n}\n',
        ),
      /^firewalld does not let 22\/tcp, 5353\/udp through.*firewall-cmd --permanent --add-port=22\/tcp/u,
    ],
  ];
  for (const [what, host, warning] of stopped) {
    it(`says so when ${what} stops the granted, and is right`, async () => {
      await host();
      const warnings = await driver.setup([ssh, dns]);
      assert.match(warnings[0] ?? '', warning);
      await driver.open(grant(ssh, '10.77.0.2'));
      const { outcome } = await outside.connect({ host: world.address[4], port: 22, timeoutMs: 300 });
      assert.notEqual(outcome, 'talks');
    });
  }

  const looks: readonly [what: string, rules: readonly [string, ...string[]], tcp: string, udp: string][] = [
    ['that has no rules', [ACCEPTS], 'closed reset|closed reset', 'closed port-unreach|closed port-unreach'],
    ['that drops', [DROPS, 'tcp dport 22 accept'], 'filtered no-response', 'open\\|filtered no-response'],
    [
      'that rejects',
      [
        ACCEPTS,
        'tcp dport 22 accept',
        'meta l4proto tcp reject with tcp reset',
        'reject with icmpx type admin-prohibited',
      ],
      'closed reset',
      'filtered admin-prohibited',
    ],
    [
      'that rejects IPv4 only',
      [DROPS, 'tcp dport { 22, 8080 } accept', 'reject with icmp type host-prohibited'],
      'filtered (host-prohibited|no-response)',
      '(open\\|filtered no-response|filtered host-prohibited)',
    ],
  ];
  for (const [what, rules, tcp, udp] of looks) {
    it(`makes a protected port look like the closed ports of a host ${what}`, async () => {
      await load(input(...rules));
      await driver.setup([ssh, dns]);
      for (const family of [4, 6] as const) {
        const [protectedTcp, closedTcp] = [await nmap(family, 22), await nmap(family, 23)];
        assert.equal(protectedTcp, closedTcp, `tcp, IPv${family}`);
        assert.match(protectedTcp, new RegExp(tcp, 'u'));
        const [protectedUdp, closedUdp] = [await nmap(family, 5353, true), await nmap(family, 5354, true)];
        assert.equal(protectedUdp, closedUdp, `udp, IPv${family}`);
        assert.match(protectedUdp, new RegExp(udp, 'u'));
      }
    });
  }

  it('does to strangers what it is told to do', async () => {
    for (const [protect, outcome] of [
      ['drop', 'timeout'],
      ['reject', 'refused'],
      [false, 'talks'],
    ] as const) {
      await driver.teardown(null);
      await driver.make({ protect });
      await driver.setup([ssh]);
      const result = await outside.connect({ host: world.address[4], port: 22, timeoutMs: 300 });
      assert.equal(result.outcome, outcome, String(protect));
    }
  });

  describe('with a chain of the host', () => {
    const connect = async (port = 22, family: 4 | 6 = 4): Promise<string> =>
      (await outside.connect({ host: world.address[family], port, timeoutMs: 400 })).outcome;

    // Nothing of the host's own lets established connections through: our rules have to do it all.
    beforeEach(async () => {
      await load(input(DROPS));
      await driver.make({ chain: CHAIN });
      assert.deepEqual(await driver.setup([ssh, any, dns]), []);
    });

    for (const family of [4, 6] as const) {
      it(`lets the granted through, and no others (IPv${family})`, async () => {
        const source = world.client[family];
        assert.equal(await connect(22, family), 'timeout');
        await driver.open(grant(ssh, source));
        assert.equal(await connect(8080, family), 'timeout');
        assert.equal(await connect(22, family), 'talks');
        assert.equal(await connect(22, family), 'timeout');
        await driver.open(grant(any, source));
        assert.deepEqual([await connect(8080, family), await connect(8080, family)], ['talks', 'talks']);
        const ask = (): Promise<boolean> => outside.ask({ host: world.address[family], port: 5353 });
        assert.equal(await ask(), false);
        await driver.open(grant(dns, source));
        assert.equal(await ask(), true);
        assert.equal(await ask(), false);
      });
    }

    it('lets a session through that was there before', async () => {
      await driver.teardown(null);
      await load('add rule inet filter input tcp dport 22 accept\n');
      const { id, outcome } = await outside.connect({ host: world.address[4], port: 22 });
      assert.equal(outcome, 'talks');
      await load(`flush ruleset\n${input(DROPS)}`);
      await driver.setup([ssh]);
      assert.equal(await outside.talk({ id }), true);
    });

    it('opens nothing when our table is gone: what it left lets no SYN in', async () => {
      const localPort = 47_001;
      const peer = { host: world.address[4], port: 8080, localPort, timeoutMs: 400 };
      await driver.open(grant(any, world.client[4]));
      const first = await outside.connect(peer);
      assert.equal(first.outcome, 'talks');
      await load('delete table inet portknock\n');
      assert.equal(await outside.talk({ id: first.id }), true, 'the session lives');
      assert.equal(await connect(8080), 'timeout');
      await gateway.reset(null);
      await outside.hangUp({ id: first.id });
      assert.equal((await outside.connect(peer)).outcome, 'timeout', 'on the ports of one that was reset');
    });

    it('has each of our rules once, however often it is set up', async () => {
      await driver.setup([ssh, any]);
      await driver.setup([ssh]);
      const text = await world.gateway.must('nft', ['list', 'chain', ...CHAIN.split(' ')]);
      assert.equal(text.match(/comment "portknock"/gu)?.length, 2);
    });

    for (const [chain, message] of [
      ['inet filter nowhere', /there is no chain inet filter nowhere/u],
      ['ip filter INPUT', /belongs to iptables/u],
      ['inet filter early', /is not asked after ours: hook input, priority -10/u],
      ['inet filter out', /is not asked after ours: hook output, priority 0/u],
    ] as const) {
      it(`refuses the chain '${chain}', and changes nothing`, async () => {
        await driver.teardown(null);
        await world.gateway.must('iptables-nft', ['-P', 'INPUT', 'ACCEPT']);
        await load('add chain inet filter early { type filter hook input priority -10; policy accept; }\n');
        await load('add chain inet filter out { type filter hook output priority 0; policy accept; }\n');
        const before = await world.gateway.must('nft', ['list', 'ruleset']);
        await driver.make({ chain });
        await assert.rejects(driver.setup([ssh]), { code: 'ERR_FIREWALL_UNSUPPORTED', message });
        assert.equal(await world.gateway.must('nft', ['list', 'ruleset']), before);
      });
    }
  });
});
