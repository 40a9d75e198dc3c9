// Room in the kernel's lists: counted as long as the count can tell, read where it cannot.

import assert from 'node:assert/strict';
import { ListRoom } from '../../lib/firewall/iptables-room.ts';
import type { RecentLists } from '../../lib/firewall/recent-file.ts';

const LIMIT = 3;
const [gate, other] = [
  { name: 'one', width: null },
  { name: 'two', width: null },
];

/** Lists that hold this, and how often one was read. */
function listsWith(held: readonly string[]) {
  const said = { held, reads: 0 };
  const read: RecentLists['read'] = () => {
    said.reads += 1;
    return Promise.resolve(said.held);
  };
  return { said, lists: { read } as RecentLists };
}

describe('ListRoom', () => {
  const wanted = (address: string, more: { isPart?: boolean; gate?: typeof gate } = {}) => ({
    ...{ service: 'ssh', gate, address, isPart: false },
    ...more,
  });
  const full = (held: number) => ({
    code: 'ERR_FIREWALL_FULL',
    message: `service ssh has ${held} open grants, the kernel's list holds no more (raise xt_recent's ip_list_tot)`,
  });

  it('reads a list once, and again when as many were added as it holds', async () => {
    const room = new ListRoom();
    room.reset(LIMIT);
    const { lists, said } = listsWith(['a']);
    for (const address of ['b', 'c']) await room.make(lists, wanted(address));
    assert.equal(said.reads, 1);
    said.held = ['b', 'c'];
    await room.make(lists, wanted('d'));
    assert.equal(said.reads, 2);
    said.held = ['b', 'c', 'd'];
    await assert.rejects(room.make(lists, wanted('e')), full(3));
    assert.equal(said.reads, 3);
    // Not full for who is on it.
    await room.make(lists, wanted('c'));
    await assert.rejects(room.make(lists, wanted('e')), full(3));
  });

  it('counts for each list by itself, and reads them all anew after a set-up', async () => {
    const room = new ListRoom();
    room.reset(LIMIT);
    const { lists, said } = listsWith([]);
    await room.make(lists, wanted('a'));
    await room.make(lists, wanted('a', { gate: other }));
    await room.make(lists, wanted('b'));
    assert.equal(said.reads, 2);
    room.reset(1);
    said.held = ['a'];
    await assert.rejects(room.make(lists, wanted('b')), full(1));
  });

  it('looks whether the address is there whenever that has to be known', async () => {
    const room = new ListRoom();
    room.reset(LIMIT);
    const { lists, said } = listsWith(['a']);
    const known = [];
    for (const [address, isPart] of [
      ['a', false],
      ['a', true],
      ['b', true],
      ['b', false],
    ] as const)
      known.push(await room.make(lists, wanted(address, { isPart })));
    assert.deepEqual([known, said.reads], [[true, true, false, false], 3]);
  });
});
