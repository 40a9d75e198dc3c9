// The clock of a capture: it shows the time of the packet at hand, and its timers count what passes between packets.

import assert from 'node:assert/strict';
import { PacketClock } from '../../lib/listener/packet-clock.ts';

const START_MS = 1_700_000_000_000;

function started(): {
  readonly clock: PacketClock;
  readonly ran: string[];
  set(ms: number, name: string): () => void;
} {
  const clock = new PacketClock();
  clock.moveTo(START_MS);
  const ran: string[] = [];
  return { clock, ran, set: (ms, name) => clock.after(ms, () => void ran.push(name)) };
}

describe('PacketClock', () => {
  it('shows the time of the last packet', () => {
    const { clock } = started();
    clock.moveTo(START_MS + 5);
    assert.equal(clock.now(), START_MS + 5);
    clock.moveTo(START_MS - 1000);
    assert.equal(clock.now(), START_MS - 1000);
  });

  it('runs timers when their time has come, the earliest first', () => {
    const { clock, ran, set } = started();
    set(300, 'third');
    set(100, 'first');
    set(200, 'second');
    clock.moveTo(START_MS + 99);
    assert.deepEqual(ran, []);
    clock.moveTo(START_MS + 250);
    assert.deepEqual(ran, ['first', 'second']);
    clock.moveTo(START_MS + 300);
    assert.deepEqual(ran, ['first', 'second', 'third']);
  });

  it('runs no timer that was cancelled, also by one that ran before it', () => {
    const { clock, ran, set } = started();
    const cancel = set(20, 'cancelled');
    clock.after(10, cancel);
    clock.moveTo(START_MS + 1000);
    assert.deepEqual(ran, []);
  });

  it('runs a timer that another one sets when its own time has come', () => {
    const { clock, ran, set } = started();
    clock.after(10, () => set(10, 'again'));
    clock.moveTo(START_MS + 1000);
    assert.deepEqual(ran, []);
    clock.moveTo(START_MS + 1010);
    assert.deepEqual(ran, ['again']);
  });

  it('lets no time pass for timers when the clock of the capture was set back', () => {
    const { clock, ran, set } = started();
    set(100, 'due');
    clock.moveTo(START_MS + 60);
    clock.moveTo(START_MS);
    clock.moveTo(START_MS + 39);
    assert.deepEqual(ran, []);
    clock.moveTo(START_MS + 40);
    assert.deepEqual(ran, ['due']);
  });
});
