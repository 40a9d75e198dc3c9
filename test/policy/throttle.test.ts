// Reject events: the first at once, its repetitions once a second with their count; none lost, none unbounded.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parseAddress, type Address } from '../../lib/address.ts';
import { RejectThrottle, type Refused, type Reject } from '../../lib/policy/throttle.ts';
import { virtualClock } from '../../lib/testing/clock.ts';

function addressOf(text: string): Address {
  return parseAddress(text) ?? assert.fail(text);
}

function setUp() {
  const clock = virtualClock(0);
  const events: (Reject & { readonly at: number })[] = [];
  const throttle = new RejectThrottle(clock, (reject) => events.push({ ...reject, at: clock.now() }));
  const note = ({ source = '192.0.2.7', ...changes }: Partial<Reject> = {}): void => {
    throttle.note({
      reason: 'replayed',
      source: addressOf(source),
      scheme: 'one-time',
      client: 'a',
      ...changes,
    });
  };
  const counts = (): [at: number, count: number][] => events.map(({ at, count }) => [at, count]);
  return { clock, throttle, events, note, counts };
}

describe('RejectThrottle', () => {
  it('makes two events of a thousand rejects within a second, whose counts sum to a thousand', async () => {
    const { clock, note, counts } = setUp();
    for (let i = 0; i < 1000; i += 1) {
      note();
      await clock.advance(0.5);
    }
    await clock.advance(10_000);
    assert.deepEqual(counts(), [
      [0, 1],
      [1000, 999],
    ]);
  });

  it('goes on at one event a second while they last, and begins anew after a quiet second', async () => {
    const { clock, note, counts } = setUp();
    for (const [at, times] of [
      [0, 1],
      [1500, 2],
      [1999, 1],
      [2500, 4],
      [6000, 1],
    ] as const) {
      await clock.advance(at - clock.now());
      for (let i = 0; i < times; i += 1) note();
    }
    await clock.advance(5000);
    // At 1500 the first second is over and was quiet, so its first one is told at once.
    assert.deepEqual(counts(), [
      [0, 1],
      [1500, 1],
      [2500, 2],
      [3500, 4],
      [6000, 1],
    ]);
    assert.equal(clock.pending, 0);
  });

  it('keeps reasons, schemes and clients apart', () => {
    const { note, events } = setUp();
    const kinds: Partial<Reject>[] = [{}, { reason: 'wrong-port' }, { scheme: 'spa' }, { client: 'b' }];
    for (const kind of [...kinds, ...kinds]) note(kind);
    assert.equal(events.length, 4);
  });

  it('does not keep sources apart, since anyone can make them up, and tells the last one', async () => {
    const { clock, note, events } = setUp();
    for (let i = 0; i < 10_000; i += 1) note({ source: `10.0.${i >> 8}.${i & 255}` });
    assert.equal(clock.pending, 1);
    await clock.advance(1000);
    assert.deepEqual(
      events.map(({ source, count }) => [source, count]),
      [
        ['10.0.0.0', 1],
        ['10.0.39.15', 9999],
      ],
    );
  });

  it('tells a kind without a client', async () => {
    const { clock, throttle, events } = setUp();
    const refused: Refused = { reason: 'replayed', source: addressOf('192.0.2.7'), scheme: 'spa' };
    throttle.note(refused);
    throttle.note(refused);
    await clock.advance(1000);
    assert.deepEqual(
      events.map((event) => ['client' in event, event.count]),
      [
        [false, 1],
        [false, 1],
      ],
    );
  });

  it('tells what it holds back when it is flushed, and leaves no timer', async () => {
    const { clock, throttle, note, counts } = setUp();
    for (let i = 0; i < 3; i += 1) note();
    note({ client: 'b' });
    throttle.flush();
    assert.deepEqual(counts(), [
      [0, 1],
      [0, 1],
      [0, 2],
    ]);
    assert.equal(clock.pending, 0);
    throttle.flush();
    await clock.advance(5000);
    assert.equal(counts().length, 3);
  });

  it('loses none, and tells no kind twice within a second, whatever comes when', async () => {
    const moves = fc.array(fc.tuple(fc.nat(900), fc.constantFrom('a', 'b'), fc.nat(3)), { maxLength: 25 });
    await fc.assert(
      fc.asyncProperty(moves, async (all) => {
        const { clock, throttle, note, events } = setUp();
        let noted = 0;
        for (const [wait, client, times] of all) {
          await clock.advance(wait);
          for (let i = 0; i < times; i += 1) note({ client });
          noted += times;
        }
        await clock.advance(1000);
        for (const client of ['a', 'b']) {
          const times = events.filter((event) => event.client === client).map(({ at }) => at);
          assert.ok(times.every((at, i) => i === 0 || at - (times[i - 1] ?? 0) >= 1000));
        }
        throttle.flush();
        assert.equal(
          events.reduce((sum, { count }) => sum + count, 0),
          noted,
        );
      }),
      { numRuns: 40 },
    );
  });

  it('keeps a hundred kinds apart, and beyond them only reasons and schemes, without a client', async () => {
    const { clock, note, events } = setUp();
    for (let i = 0; i < 5000; i += 1) note({ client: `c${i}`, clockOffsetMs: 1 });
    note({ client: 'c7' });
    note({ client: 'other', reason: 'wrong-port' });
    assert.equal(clock.pending, 102);
    assert.deepEqual(
      events.slice(100).map(({ client, clockOffsetMs, reason }) => [client, clockOffsetMs, reason]),
      [
        [undefined, undefined, 'replayed'],
        [undefined, undefined, 'wrong-port'],
      ],
    );
    await clock.advance(1000);
    assert.deepEqual(
      events.slice(102).map(({ client, count }) => [client, count]),
      [
        ['c7', 1],
        [undefined, 4899],
      ],
    );
    await clock.advance(2000);
    assert.deepEqual([events.length, clock.pending], [104, 0]);
  });
});
