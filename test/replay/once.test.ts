// Ids that are claimed once: how long they are kept, and how many.

import assert from 'node:assert/strict';
import * as log from '../../lib/replay/log.ts';
import { OnceClaims } from '../../lib/replay/once.ts';
import { virtualClock } from '../../lib/testing/clock.ts';

const WINDOW_MS = 20_000;

function setUp(found: ReadonlyMap<string, number> = new Map()) {
  const clock = virtualClock();
  return { clock, once: new OnceClaims(clock, WINDOW_MS, found) };
}

function bound(once: OnceClaims) {
  return { mayBeForgotten: (untilMs: number): boolean => once.mayBeForgotten(untilMs) };
}

describe('ids that are claimed once', () => {
  it('are forgotten after their end, and leave no timer then', async () => {
    const { clock, once } = setUp();
    once.add('a', { client: 'alice', untilMs: clock.now() + WINDOW_MS });
    await clock.advance(WINDOW_MS);
    assert.equal(once.has('a'), true);
    await clock.advance(2 * WINDOW_MS);
    assert.equal(once.has('a'), false);
    assert.equal(clock.pending, 0);
  });

  it('are kept for a whole window although the wall clock says that they are over', async () => {
    const { clock, once } = setUp(new Map([['found', 5]]));
    once.add('a', { client: 'alice', untilMs: clock.now() + 1000 });
    clock.set(clock.now() + 86_400_000);
    await clock.advance(WINDOW_MS);
    assert.deepEqual([once.has('a'), once.has('found')], [true, true]);
    await clock.advance(WINDOW_MS);
    assert.deepEqual([once.has('a'), once.has('found')], [false, false]);
  });

  it('when forgotten leave behind that nothing with their end or an earlier one is new, through a file as well', async () => {
    const { clock, once } = setUp();
    const untilMs = clock.now() + WINDOW_MS;
    once.add('a', { client: 'alice', untilMs });
    once.add('b', { client: 'bob', untilMs: untilMs - 5 });
    assert.equal(once.mayBeForgotten(untilMs - 5), false);
    await clock.advance(3 * WINDOW_MS);
    const head = { origin: 'store', refuseUntil: 0 } as const;
    const decoded = log.decodeLog(log.encodeLog(new Map(), head, once.ends()));
    assert.ok(typeof decoded === 'object' && decoded.once.size === 1);
    const again = setUp(decoded.once);
    for (const { mayBeForgotten } of [bound(once), bound(again.once)])
      assert.deepEqual([untilMs - 5, untilMs, untilMs + 1].map(mayBeForgotten), [true, true, false]);
    assert.equal(again.clock.pending, 0);
  });

  it('are kept until their end although a window has passed', async () => {
    const { clock, once } = setUp();
    once.add('a', { client: 'alice', untilMs: clock.now() + 5 * WINDOW_MS });
    await clock.advance(5 * WINDOW_MS);
    assert.equal(once.has('a'), true);
  });

  it('are at most ten thousand of one client, and others still have room', async () => {
    const { clock, once } = setUp();
    const untilMs = clock.now() + 1000;
    for (let i = 0; i < 10_000; i += 1) assert.ok(once.add(`a${i}`, { client: 'alice', untilMs }));
    assert.equal(once.add('more', { client: 'alice', untilMs }), false);
    assert.equal(once.has('more'), false);
    assert.ok(once.add('b', { client: 'bob', untilMs }));
    await clock.advance(2 * WINDOW_MS);
    assert.ok(once.add('more', { client: 'alice', untilMs: clock.now() }));
  });

  it('stand in the file beside the counters, each with its end', () => {
    const [alice, one] = [log.clientKey('alice'), log.clientKey('one')];
    const head = { origin: 'store', refuseUntil: 0 } as const;
    const bytes = log.encodeLog(new Map([[alice, 7n]]), head, new Map([[one, 1_700_000_000_000]]));
    const decoded = log.decodeLog(bytes);
    assert.ok(typeof decoded === 'object');
    assert.deepEqual([...decoded.floors], [[alice, 7n]]);
    assert.deepEqual([...decoded.once], [[one, 1_700_000_000_000]]);
    assert.deepEqual([decoded.state, decoded.usedSlots], ['sound', 2]);
  });
});
