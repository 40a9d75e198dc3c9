// The half that reads packets, taken over: whatever it tries, only configured ports open, only within limits, and the
// kernel's rules are as they were (docs/privileges.md).

import assert from 'node:assert/strict';
import { chmod } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { startAgent, type Agent } from '../support/agent.ts';
import { Gateway, Site } from '../support/gateway.ts';
import { createWorld, type World } from '../support/netns.ts';
import type { HostileLine } from './hostile-half.ts';
import { describeInNamespaces } from './support.ts';

const PROGRAM = fileURLToPath(new URL('./hostile-half.ts', import.meta.url));
const KEY = (byte: number): string => `"${Buffer.alloc(32, byte).toString('base64')}"`;
/** Of all that it asks for, what it is given: it is what a knock could have. */
const GRANTED = ['setup', 'a configured service'];
/** At the end it does what no portknockd does. */
const LAST = {
  nft: ['teardown', 'channel'],
  nftables: ['oversized'],
} as const;

for (const backend of ['nft', 'nftables'] as const) {
  describeInNamespaces(
    `a half that was taken over (${backend === 'nft' ? 'iptables' : backend})`,
    function () {
      this.timeout(180_000);
      let world: World;
      let outside: Agent;
      let inside: Agent;
      let site: Site;
      /** The rules of a portknockd that nobody has taken over. */
      let untouched = '';

      before(async () => {
        world = await createWorld();
        [inside, outside] = await Promise.all([startAgent(world.gateway), startAgent(world.outside)]);
        for (const port of [22, 23, 2222]) await inside.echo({ port });
        site = await Site.create(
          world,
          [
            ...(backend === 'nft' ? ['firewall: iptables', 'firewall_backend: nft'] : ['firewall: nftables']),
            'user: daemon',
            `access_key: ${KEY(1)}`,
            'services: { ssh: { port: 22 }, admin: { port: 2222 } }',
            'open_for: 20s',
            'clients:',
            `  alice: { scheme: spa, secret: ${KEY(2)}, bind: exact, services: [ssh, admin] }`,
            `  bob: { scheme: spa, secret: ${KEY(3)}, services: [admin] }`,
            `  late: { scheme: spa, secret: ${KEY(4)}, expires: 2020-01-01, services: [ssh] }`,
            `  near: { scheme: spa, secret: ${KEY(5)}, from: [192.0.2.0/24], services: [ssh] }`,
            '',
          ].join('\n'),
        );
        await chmod(site.folder, 0o711);
        const gateway = await Gateway.start(world, site);
        untouched = await rules();
        assert.match(untouched, /portknock/iu);
        await gateway.end();
      });

      after(async () => {
        await Promise.all([inside.stop(), outside.stop()]);
        await world.destroy();
        await site.remove();
      });

      const rules = async (): Promise<string> => {
        const text =
          backend === 'nft'
            ? `${await world.gateway.must('iptables-nft-save', [])}${await world.gateway.must('ip6tables-nft-save', [])}`
            : await world.gateway.must('nft', ['-s', 'list', 'ruleset']);
        // Counters, times, who is in the sets, and connections that were there before.
        const passing = /\[\d+:\d+\]|^#.*$|elements = \{[^}]*\}|^-A PK-ADOPT -s .*$/gmu;
        return text.replace(passing, '').replace(/\s+\n/gu, '\n');
      };
      const connect = async (port: number, source: string): Promise<string> =>
        (await outside.connect({ host: world.address[4], port, source })).outcome;

      for (const last of LAST[backend]) {
        it(`opens nothing but what is configured, and is ended when it says nonsense (${last})`, async () => {
          const { lines, status } = await run(world, site, last);
          const asked = lines.flatMap((line) => ('asked' in line ? [line] : []));
          assert.ok(asked.length > 25, JSON.stringify(lines));
          assert.deepEqual(
            asked.filter(({ refused }) => refused === null).map((line) => line.asked),
            GRANTED,
          );
          const deeds = lines.flatMap((line) => ('did' in line ? [line] : []));
          assert.ok(deeds.length > 15, JSON.stringify(lines));
          assert.deepEqual(
            deeds.filter(({ failed }) => failed === null),
            [],
          );
          assert.equal(status, 0);
          assert.deepEqual(lines.at(-1), { ended: 1 });
          assert.ok(
            lines.some(
              (line) => 'log' in line && /ended the half that reads packets: it /u.test(line.message),
            ),
            JSON.stringify(lines),
          );
          assert.equal(await rules(), untouched);
          // The one that it may have, for one connection; all else is as closed as before.
          assert.equal(await connect(2222, world.stranger[4]), 'refused');
          assert.equal(await connect(22, world.client[4]), 'refused');
          assert.equal(await connect(22, world.stranger[4]), 'talks');
          assert.equal(await connect(22, world.stranger[4]), 'refused');
        });
      }
    },
  );
}

async function run(
  world: World,
  site: Site,
  last: string,
): Promise<{ readonly lines: readonly HostileLine[]; readonly status: number | null }> {
  const child = world.gateway.spawn(
    process.execPath,
    ['--import', 'tsx', PROGRAM, 'keep', site.config, last],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const lines: HostileLine[] = [];
  if (child.stdout === null) throw new Error('it has no output');
  for await (const line of createInterface({ input: child.stdout }))
    lines.push(JSON.parse(line) as HostileLine);
  const status =
    child.exitCode ?? (await new Promise<number | null>((resolve) => child.once('exit', resolve)));
  return { lines, status };
}
