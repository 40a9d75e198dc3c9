// Attack 12: a flood of valid knocks of one client. There is one opening, one rule for it and no process more than
// before. Real knockd starts a process and adds a rule for each.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { until } from '../support.ts';
import { attack, onBoth, onKnockd } from './attack.ts';

const KNOCKS = 200;

attack('12. a flood of valid knocks', () => {
  for (const family of [4, 6] as const) {
    onBoth(`leaves one opening, as many rules and as many processes (IPv${family})`, async (field) => {
      // What others have opened before may end at any moment.
      await field.renewed();
      const { gateway } = field;
      const { pid } = gateway;
      const children = (): number =>
        readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter(Boolean).length;
      const rules = async (): Promise<number> => {
        const [program, args] =
          field.driver === 'nftables'
            ? ['nft', ['-s', 'list', 'table', 'inet', 'portknock']]
            : [family === 4 ? 'iptables-save' : 'ip6tables-save', []];
        return (await field.world.gateway.must(program ?? '', args))
          .split('\n')
          .filter((line) => !line.startsWith('#')).length;
      };
      await field.granted(() => field.spa('both', { family }).knock());
      const before = { rules: await rules(), children: children() };
      const seen = gateway.events.length;
      const now = Date.now();
      const packets = [];
      for (let sequence = 1; sequence <= KNOCKS; sequence += 1)
        packets.push(await field.sealed('both', { family, atMs: now, sequence }));
      await field.outside.datagrams({ packets });
      // Of a machine that stood still meanwhile, some fail and say so.
      const answered = (): number =>
        gateway.events
          .slice(seen)
          .filter(({ event, reason }) => event === 'grant' || reason === 'grant-failed')
          .reduce((sum, { count }) => sum + Number(count ?? 1), 0);
      await until('all are answered', () => answered() >= KNOCKS);
      await field.granted(() => field.spa('both', { family }).knock());
      assert.ok(children() <= before.children + 1, `${children()} processes`);
      assert.equal(await rules(), before.rules);
      await field.used({ family });
      assert.equal(await field.connect({ family }), 'refused', 'one opening');
    });
  }

  onKnockd('leaves real knockd a rule and a process for each', async (field) => {
    await field.knockd.start();
    for (let count = 1; count <= 10; count += 1) {
      await field.inject(field.plain());
      assert.ok(await field.knockd.opens({ count }));
    }
    assert.equal(field.knockd.sleepers().length, 10);
    assert.equal(new Set(await field.knockd.openings()).size, 1, 'all of them the same');
  });
});
