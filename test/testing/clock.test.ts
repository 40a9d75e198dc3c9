// The virtual clock of the tests keeps time as a host does, without waiting for it.

import assert from 'node:assert/strict';
import { virtualClock } from '../../lib/testing/clock.ts';

describe('virtualClock', () => {
  it('stands still until it is told to move', async () => {
    const clock = virtualClock(1000);
    assert.equal(clock.now(), 1000);
    await clock.advance(250);
    assert.equal(clock.now(), 1250);
  });

  it('runs due timers in the order of their times, then of their setting', async () => {
    const clock = virtualClock(0);
    const ran: string[] = [];
    for (const [name, ms] of [
      ['c', 30],
      ['a', 10],
      ['b', 20],
      ['a2', 10],
      ['zero', 0],
      ['past', -5],
    ] as const) {
      clock.after(ms, () => ran.push(`${name}@${String(clock.now())}`));
    }
    await clock.advance(20);
    assert.deepEqual(ran, ['zero@0', 'past@0', 'a@10', 'a2@10', 'b@20']);
    assert.equal(clock.pending, 1);
    assert.equal(clock.now(), 20);
  });

  it('runs a timer only when its time has wholly passed, and once', async () => {
    const clock = virtualClock();
    let count = 0;
    clock.after(100, () => (count += 1));
    await clock.advance(99);
    assert.equal(count, 0);
    await clock.advance(1);
    await clock.advance(1000);
    assert.equal(count, 1);
  });

  it('does not run a cancelled timer', async () => {
    const clock = virtualClock();
    const cancel = clock.after(10, () => assert.fail('it ran'));
    cancel();
    assert.equal(clock.pending, 0);
    await clock.advance(10);
    cancel();
    assert.equal(clock.pending, 0);
  });

  it('runs timers that timers set, within the same advance', async () => {
    const clock = virtualClock(0);
    const times: number[] = [];
    const tick = (): void => {
      times.push(clock.now());
      clock.after(10, tick);
    };
    clock.after(10, tick);
    await clock.advance(35);
    assert.deepEqual(times, [10, 20, 30]);
  });

  it('lets promise callbacks set timers that are due in the same advance', async () => {
    const clock = virtualClock(0);
    const times: number[] = [];
    const wait = (ms: number): Promise<void> => new Promise((resolve) => clock.after(ms, resolve));
    const chain = (async () => {
      for (let i = 0; i < 3; i += 1) {
        await wait(5);
        times.push(clock.now());
      }
    })();
    await clock.advance(15);
    assert.deepEqual(times, [5, 10, 15]);
    await chain;
  });

  it('leaves timers alone when the wall clock is stepped', async () => {
    const clock = virtualClock(5000);
    let ranAt = 0;
    clock.after(100, () => (ranAt = clock.now()));
    clock.set(1_000_000);
    assert.equal(clock.now(), 1_000_000);
    await clock.advance(99);
    assert.equal(ranAt, 0);
    clock.set(10);
    await clock.advance(1);
    assert.equal(ranAt, 11);
  });

  it('refuses to go back, or to set a timer that a host could not', async () => {
    const clock = virtualClock();
    await assert.rejects(clock.advance(-1), RangeError);
    await assert.rejects(clock.advance(NaN), RangeError);
    assert.throws(() => clock.after(2 ** 31, () => undefined), RangeError);
  });
});
