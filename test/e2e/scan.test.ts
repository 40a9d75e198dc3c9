// Without the keys a protected host looks exactly like the same host with nothing listening: nmap sees no difference,
// the wire shows none, and on a host that drops, nothing at all leaves it in answer to a knock (attack 5).

import assert from 'node:assert/strict';
import { startAgent, type Agent } from '../support/agent.ts';
import { configFor, Gateway, Site } from '../support/gateway.ts';
import { createWorld, type World } from '../support/netns.ts';
import { leaving, type Leaving } from './leaving.ts';
import { FieldClient, describeInNamespaces, pause, until } from './support.ts';

const SCANS = {
  'SYN scan': ['-sS', '-p', '1-1100'],
  'connect scan': ['-sT', '-p', '1-1100'],
  'UDP scan': ['-sU', '-p', '20-40,22,20000-20010,30000'],
  'ACK scan': ['-sA', '-p', '20-25'],
  'FIN scan': ['-sF', '-p', '20-25'],
  'NULL scan': ['-sN', '-p', '20-25'],
  'Xmas scan': ['-sX', '-p', '20-25'],
};

type Policy = 'drops' | 'accepts' | 'rejects';

/**
 * An answer that must come may come late, from a machine that stands still. And a refusal by ICMP that comes while the
 * kernel is still busy with connect() is forgotten; the next comes when it has sent its SYN again, after a second.
 */
const LONG = [
  '--max-retries',
  '2',
  ...['min', 'initial', 'max'].flatMap((which) => [`--${which}-rtt-timeout`, '3s']),
];
const PATIENCE = { drops: ['--max-retries', '1'], accepts: LONG, rejects: LONG };

const ICMP_WITHOUT_LIMITS = [
  'net.ipv4.icmp_ratelimit=0',
  'net.ipv6.icmp.ratelimit=0',
  'net.ipv4.icmp_msgs_per_sec=1000000',
  'net.ipv4.icmp_msgs_burst=1000000',
];

for (const policy of ['drops', 'accepts', 'rejects'] as const) {
  for (const backend of policy === 'rejects' ? (['nft'] as const) : (['legacy', 'nft'] as const)) {
    describeInNamespaces(`a scan of a host whose policy ${policy} (iptables-${backend})`, function () {
      this.timeout(400_000);
      let world: World;
      let inside: Agent;
      let outside: Agent;

      before(async () => {
        world = await createWorld();
        [inside, outside] = await Promise.all([startAgent(world.gateway), startAgent(world.outside)]);
        for (const program of [`iptables-${backend}`, `ip6tables-${backend}`]) {
          for (const rule of hostRules(policy, program.startsWith('ip6')))
            await world.gateway.must(program, rule);
        }
        // The kernel's limits on ICMP errors would make two scans of one host differ by themselves.
        await world.gateway.must('sysctl', ['-qw', ...ICMP_WITHOUT_LIMITS]);
      });

      after(async () => {
        await Promise.all([inside.stop(), outside.stop()]);
        await world.destroy();
      });

      it('shows no difference to the same host with nothing listening', async () => {
        const families = [4, 6] as const;
        const bare = [];
        for (const family of families) bare.push(await scanAll(world, policy, family));
        await inside.echo({ port: 22 });
        const site = await Site.create(world, configFor({ backend }));
        const gateway = await Gateway.start(world, site);
        const hidden = [];
        for (const family of families) hidden.push(await scanAll(world, policy, family));
        await gateway.end();
        await site.remove();
        assert.deepEqual(hidden, bare);
        assert.ok(Object.values(hidden[0] ?? {}).every((text) => text.length > 0));
      });

      for (const family of [4, 6] as const) {
        it(`answers a knock, good or bad, with what the host would have answered without us (IPv${family})`, async () => {
          const site = await Site.create(world, configFor({ backend }));
          const client = new FieldClient(outside, world.address[family]);
          const knocks = await client.fresh();
          const bad = knocks.map((knock) => ({ ...knock, payload: Buffer.alloc(16, 1).toString('base64') }));
          const count = policy === 'drops' ? 0 : 2 * knocks.length;
          const from = { world, inside };
          const without = await answersTo(from, count, () => client.send([...bad, ...knocks]));
          const gateway = await Gateway.start(world, site);
          const withUs = await answersTo(from, count, async () => {
            await client.send([...bad, ...(await client.fresh())]);
            await gateway.wait('grant');
          });
          await gateway.end();
          await site.remove();
          assert.deepEqual([without.length, withUs.length], [count, count]);
        });
      }
    });
  }
}

function hostRules(policy: Policy, isV6: boolean): string[][] {
  if (policy === 'accepts') return [];
  const needed = isV6 ? [['-A', 'INPUT', '-p', 'icmpv6', '-j', 'ACCEPT']] : [];
  if (policy === 'drops') return [...needed, ['-P', 'INPUT', 'DROP']];
  return [
    ...needed,
    ['-A', 'INPUT', '-j', 'REJECT', '--reject-with', isV6 ? 'icmp6-adm-prohibited' : 'icmp-host-prohibited'],
  ];
}

async function scanAll(world: World, policy: Policy, family: 4 | 6): Promise<Record<string, string>> {
  const results: Record<string, string> = {};
  for (const [name, args] of Object.entries(SCANS)) {
    const text = await world.outside.must('nmap', [
      ...(family === 6 ? ['-6'] : []),
      ...[
        '-n',
        '-Pn',
        '--reason',
        ...['--min-rate', '2000', '-T5', ...PATIENCE[policy], ...args, world.address[family]],
      ],
    ]);
    // The times, and only the times, are allowed to differ.
    results[name] = text.replace(/^Starting Nmap.*$|^Nmap done.*$|\(-?[\d.]+s latency\)/gmu, '');
  }
  return results;
}

/** What leaves the gateway while `run` sends, but for what IPv6 neighbours tell each other; one line of tcpdump per packet. */
function answersTo(
  from: Pick<Leaving, 'world' | 'inside'>,
  count: number,
  run: () => Promise<void>,
): Promise<readonly string[]> {
  const filter = 'not arp and not ip6[6] = 0 and not (icmp6 and ip6[40] >= 133 and ip6[40] <= 137)';
  return leaving({ ...from, args: [], filter }, async (lines) => {
    await run();
    await until(`${count} answers have left`, () => lines().length >= count);
    await pause(500);
  });
}
