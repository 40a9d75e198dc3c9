// Lost packets: each is counted, and the operator hears of them, but not of each.

import assert from 'node:assert/strict';
import { tellingLosses, type LossTeller } from '../../lib/capture/losses.ts';
import { virtualClock, type VirtualClock } from '../../lib/testing/clock.ts';
import { recorder, type RecordingSink } from '../../lib/testing/recorder.ts';

const MINUTE_MS = 60_000;

describe('tellingLosses()', () => {
  let clock: VirtualClock;
  let sink: RecordingSink;
  let teller: LossTeller;
  const told = (): (string | undefined)[] =>
    sink.warnings.map((text) => /^capture on eth0 lost (\d+) packets \(.+\)$/u.exec(text)?.[1]);

  beforeEach(() => {
    clock = virtualClock();
    sink = recorder({ clock });
    teller = tellingLosses(sink, 'eth0', clock);
  });

  it('tells of the first at once, and of those that follow together, a minute later', async () => {
    teller.dropped(3);
    assert.deepEqual(told(), ['3']);
    for (let second = 0; second < 30; second += 1) teller.dropped(10);
    await clock.advance(MINUTE_MS - 1);
    assert.deepEqual(told(), ['3']);
    await clock.advance(1);
    assert.deepEqual(told(), ['3', '300']);
    assert.equal(sink.lost, 303);
  });

  it('tells nothing while nothing is lost, and of the next at once', async () => {
    teller.dropped(1);
    await clock.advance(3 * MINUTE_MS);
    assert.deepEqual([told(), clock.pending], [['1'], 0]);
    teller.dropped(2);
    assert.deepEqual(told(), ['1', '2']);
  });

  it('tells nothing more once it was hushed, and leaves no timer behind', async () => {
    teller.dropped(1);
    teller.dropped(1);
    teller.hush();
    assert.equal(clock.pending, 0);
    await clock.advance(MINUTE_MS);
    teller.dropped(1);
    assert.deepEqual([told(), clock.pending], [['1'], 0]);
  });

  it('passes everything else on', () => {
    teller.frame(Buffer.alloc(1), 0, 1, 1, 1, 1);
    teller.warning('one');
    teller.error(new Error('two'));
    teller.end();
    assert.deepEqual(
      [sink.frameCount, sink.warnings, sink.errors.map(({ message }) => message), sink.ends],
      [1, ['one'], ['two'], 1],
    );
  });
});
