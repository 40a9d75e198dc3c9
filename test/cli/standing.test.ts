// What the daemon keeps for whoever asks: open grants and those that ended lately, refused knocks; all of it bounded.

import assert from 'node:assert/strict';
import { revoke } from '../../cli/revoking.ts';
import { Standing } from '../../cli/standing.ts';
import { KnockCounts } from '../../lib/counts.ts';
import type { Grant } from '../../lib/firewall/driver.ts';
import { rig, type Rig } from '../listener/support.ts';
import { reject, request } from '../support/spoken.ts';

interface Stood extends Rig {
  readonly standing: Standing;
}

async function stood(): Promise<Stood> {
  const counts = new KnockCounts();
  const parts = rig({ metrics: counts });
  const standing = new Standing({ listener: parts.listener, counts, now: () => parts.clock.now() });
  await parts.listener.start();
  return { ...parts, standing };
}

describe('Standing', () => {
  it('has an open grant with its fields, and how it ended after that', async () => {
    const { standing, source, clock } = await stood();
    source.frame(request(1));
    await clock.advance(0);
    const [first] = standing.open();
    assert.ok(first !== undefined);
    const { id, opened = '', open_until: until, ...grant } = first;
    assert.deepEqual(grant, {
      ...{ client: 'alice', service: 'ssh', protocol: 'tcp', port: 22, source: '198.51.100.7' },
      ...{ scheme: 'spoken', connections: 1, state: 'open' },
    });
    assert.equal(Date.parse(until) - Date.parse(opened), 30_000);
    assert.deepEqual(standing.ended(), []);
    await clock.advance(30_000);
    assert.deepEqual([...standing.open()], []);
    const [ended] = standing.ended();
    assert.deepEqual([ended?.id, ended?.state, ended?.opened], [id, 'expired', opened]);
    assert.equal(ended?.ended, until);
  });

  it('forgets a grant ten minutes after its end, and all but the last hundred', async () => {
    const { standing, source, clock, listener } = await stood();
    for (let counter = 1; counter <= 120; counter += 1) {
      source.frame(request(counter, { src: `198.51.100.${counter}` }));
    }
    await clock.advance(0);
    assert.equal([...standing.open()].length, 120);
    const last = listener.grants.at(-1)?.id;
    await clock.advance(30_000);
    assert.equal(standing.ended().length, 100);
    assert.equal(standing.ended()[0]?.id, last);
    await clock.advance(599_000);
    assert.equal(standing.ended().length, 100);
    await clock.advance(1000);
    assert.equal(standing.ended().length, 0);
  });

  it('counts every refused knock of a flood, and has the last fifty that were told', async () => {
    const { standing, source, clock } = await stood();
    for (let second = 0; second < 60; second += 1) {
      for (let i = 0; i < 5; i += 1) source.frame(reject('stale', { src: `198.51.100.${second + 1}` }));
      await clock.advance(1000);
    }
    const {
      rejects,
      last_rejects: last,
      knocks_refused: refused,
      knocks_accepted: accepted,
    } = standing.totals();
    assert.deepEqual([refused, accepted, last.length], [300, 0, 50]);
    assert.equal(rejects.length, 1);
    const { reason, scheme, count, source: from, client } = rejects[0] ?? {};
    assert.deepEqual(
      { reason, scheme, count, from, client },
      { reason: 'stale', scheme: 'spoken', count: 300, from: '198.51.100.60', client: 'alice' },
    );
  });
});

describe('revoke by id', () => {
  const open = [grantOf('aaaa111122223333'), grantOf('aaaa111122224444'), grantOf('bbbb')];
  const listener = {
    grants: open,
    asked: [] as string[],
    revoke(id: string) {
      this.asked.push(id);
      return Promise.resolve(open.some((grant) => grant.id === id));
    },
  };
  const facts = { client: 'alice', service: 'ssh', port: 22, source: '198.51.100.7' };
  const table: readonly [what: string, id: string, answer: object][] = [
    ['its whole', 'aaaa111122224444', { ok: true, id: 'aaaa111122224444', ...facts }],
    ['a beginning that fits one', 'aaaa1111222233', { ok: true, id: 'aaaa111122223333', ...facts }],
    ['a whole one that is short', 'bbbb', { ok: true, id: 'bbbb', ...facts }],
    [
      'a beginning that fits two',
      'aaaa1111',
      {
        ok: false,
        message: "'aaaa1111' fits 2 open grants: aaaa111122223333, aaaa111122224444 (give more of the id)",
      },
    ],
    ['none', 'cccc', { ok: false, message: "there is no open grant 'cccc' (portknock grants lists them)" }],
  ];
  for (const [what, id, answer] of table) {
    it(`answers ${what}`, async () => assert.deepEqual(await revoke(listener, id), answer));
  }

  it('takes nothing back when the id fits two', async () => {
    listener.asked = [];
    await revoke(listener, 'aaaa');
    assert.deepEqual(listener.asked, []);
  });
});

function grantOf(id: string): Grant {
  return {
    ...{ id, client: 'alice', source: '198.51.100.7', service: 'ssh', protocol: 'tcp', port: 22 },
    ...{ openUntil: 1e12, connections: 1 },
  };
}
