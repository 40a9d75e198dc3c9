// A live capture's processes over time: filters that change, handovers, crashes at every point, with fake processes.

import assert from 'node:assert/strict';
import { captureFilter } from '../../lib/capture/filter.ts';
import { LiveChild } from '../../lib/capture/live-child.ts';
import { virtualClock, type VirtualClock } from '../../lib/testing/clock.ts';
import { recorder, type RecordingSink } from '../../lib/testing/recorder.ts';
import type { CaptureNeed } from '../../lib/scheme/scheme.ts';
import { FakeProcess, fakeCapture, type FakeCapture } from '../support/fake-capture.ts';

const HOUR_MS = 3_600_000;
const MINUTE_MS = 60_000;
/** A minute before the hour. */
const START = 1_767_225_600_000 - MINUTE_MS;

const HINTED: readonly CaptureNeed[] = [
  {
    ...{ protocol: 'udp', ports: [62_201, 62_201], payloadLength: [192, 480] },
    hints: (timeMs) => [-1, 0, 1].map((i) => Math.floor(timeMs / HOUR_MS) + i),
  },
];
const PLAIN: readonly CaptureNeed[] = [{ protocol: 'tcp-syn', ports: [7000, 7000] }];
const OTHER: readonly CaptureNeed[] = [{ protocol: 'tcp-syn', ports: [8000, 8000] }];

describe('LiveRun', () => {
  let clock: VirtualClock;
  let sink: RecordingSink;
  let capture: FakeCapture;
  let seen: string[];

  /** Opens a capture for `needs` whose first process is ready. */
  async function open(needs: readonly CaptureNeed[]): Promise<FakeProcess> {
    clock = virtualClock(START);
    sink = recorder({ clock, needs });
    seen = [];
    sink.onFrame = (bytes, start, captured) => seen.push(bytes.toString('latin1', start, start + captured));
    capture = fakeCapture(sink.context);
    const opening = capture.run.open();
    capture.newest.ready();
    await opening;
    return capture.newest;
  }

  /** Lets the hints change; the second process is started then. */
  async function turnHour(): Promise<FakeProcess> {
    await clock.advance(MINUTE_MS);
    assert.equal(capture.processes.length, 2);
    return capture.newest;
  }

  const running = (): FakeProcess[] => capture.processes.filter(({ ended }) => ended === null);
  const filterNow = (needs: readonly CaptureNeed[]): string => captureFilter(needs, clock.now());

  afterEach(async () => {
    await capture.run.close();
    assert.deepEqual(running(), []);
    assert.equal(clock.pending, 0);
  });

  it('starts one process with the filter of the moment, and no other while the hints stay', async () => {
    const first = await open(HINTED);
    assert.deepEqual(first.order, { device: 'eth0', filter: filterNow(HINTED), uid: 1, gid: 1 });
    await clock.advance(MINUTE_MS - 1);
    assert.equal(capture.processes.length, 1);
  });

  it('starts none, however long, when no need has hints', async () => {
    await open(PLAIN);
    await clock.advance(3 * HOUR_MS);
    assert.equal(capture.processes.length, 1);
  });

  it('changes over when the hints change: both run for a second, then the new one alone', async () => {
    const first = await open(HINTED);
    const second = await turnHour();
    assert.equal(second.order?.filter, filterNow(HINTED));
    assert.notEqual(second.order.filter, first.order?.filter);
    await clock.advance(5000);
    assert.deepEqual(running(), [first, second], 'until the new one is ready');
    second.ready();
    await clock.advance(999);
    assert.deepEqual(running(), [first, second]);
    await clock.advance(1);
    assert.equal(first.ended, 'disconnected');
    assert.deepEqual(running(), [second]);
    await clock.advance(HOUR_MS - 10_000);
    second.packet('one', clock.now());
    await clock.advance(1);
    assert.deepEqual(seen, ['one']);
    assert.equal(capture.processes.length, 2);
    assert.deepEqual(sink.warnings, []);
  });

  it('changes over again each hour', async () => {
    await open(HINTED);
    for (let hour = 2; hour < 6; hour += 1) {
      await clock.advance(MINUTE_MS);
      assert.equal(capture.processes.length, hour);
      capture.newest.ready();
      await clock.advance(HOUR_MS - MINUTE_MS);
      assert.deepEqual(running(), [capture.newest]);
    }
  });

  for (const [way, ms] of [
    ['forward', 30 * HOUR_MS],
    ['back', -30 * HOUR_MS],
  ] as const) {
    it(`follows a clock that was set ${way} within a minute`, async () => {
      await open(HINTED);
      clock.set(START + ms);
      await clock.advance(MINUTE_MS);
      assert.equal(capture.newest.order?.filter, filterNow(HINTED));
      assert.equal(capture.processes.length, 2);
    });
  }

  it('delivers each packet once and in order, whichever process brings it', async () => {
    const first = await open(HINTED);
    const at = clock.now();
    first.packet('before', at);
    const second = await turnHour();
    first.packet('while it starts', at);
    second.packet('both', at + 2);
    second.ready();
    await clock.advance(249);
    assert.deepEqual(seen, ['before', 'while it starts'], 'the new one waits for the old one');
    first.packet('just before', at + 1);
    first.packet('both', at + 2);
    await clock.advance(1);
    second.packet('later', at + 300);
    first.packet('later', at + 300);
    await clock.advance(10);
    first.packet('later still', at + 310);
    second.packet('later still', at + 311);
    second.packet('new only', at + 320);
    await clock.advance(740);
    assert.equal(first.ended, 'disconnected');
    second.packet('after', at + 1100);
    await clock.advance(5000);
    second.packet('after', at + 1100);
    await clock.advance(1);
    assert.deepEqual(seen, [
      ...['before', 'while it starts', 'just before', 'both', 'later', 'later still', 'new only'],
      ...['after', 'after'],
    ]);
  });

  it('delivers what the old process writes when it is asked to end, and knows its twins', async () => {
    const first = await open(HINTED);
    const second = await turnHour();
    second.ready();
    first.obedient = false;
    await clock.advance(1000);
    assert.equal(first.connected, false);
    first.packet('kept', clock.now());
    first.exit('disconnected');
    await clock.advance(500);
    second.packet('kept', clock.now() - 500);
    await clock.advance(1);
    assert.deepEqual(seen, ['kept']);
  });

  it('kills an old process that does not end within a second', async () => {
    const first = await open(HINTED);
    const second = await turnHour();
    second.ready();
    first.obedient = false;
    await clock.advance(1999);
    assert.equal(first.ended, null);
    await clock.advance(1);
    assert.equal(first.ended, 'SIGKILL');
    assert.deepEqual(sink.warnings, []);
  });

  describe('when something fails', () => {
    it('keeps the old process when the new one cannot start, and tries again a minute later', async () => {
      const first = await open(HINTED);
      const second = await turnHour();
      second.report({ kind: 'failed', fault: 'other', message: 'bad\nday' });
      await clock.advance(1);
      assert.deepEqual(running(), [first]);
      assert.deepEqual(sink.warnings, [
        'capture filter cannot be renewed: capture on eth0 failed: bad\\u{a}day; the old one stays for now',
      ]);
      first.packet('heard', 1);
      await clock.advance(MINUTE_MS);
      assert.equal(capture.processes.length, 3);
      capture.newest.ready();
      await clock.advance(2000);
      assert.deepEqual(running(), [capture.newest]);
      assert.deepEqual(seen, ['heard']);
    });

    it('gives a new process ten seconds to be ready', async () => {
      const first = await open(HINTED);
      const second = await turnHour();
      second.packet('never delivered', 1);
      await clock.advance(10_000);
      assert.equal(second.ended, 'SIGKILL');
      assert.equal(second.stdout.destroyed, true);
      assert.deepEqual([running(), seen], [[first], []]);
      assert.match(sink.warnings.join(), /did not start within 10 s/u);
    });

    it('goes on with the new process when the old one dies while that starts', async () => {
      const first = await open(HINTED);
      const second = await turnHour();
      first.exit('SIGSEGV');
      await clock.advance(1000);
      assert.equal(capture.processes.length, 2);
      second.ready();
      second.packet('heard', 1);
      await clock.advance(10_000);
      assert.deepEqual(running(), [second]);
      assert.equal(capture.processes.length, 2);
      assert.deepEqual(seen, ['heard']);
      assert.deepEqual(sink.warnings, ['capture process ended (SIGSEGV); another one is starting']);
    });

    it('starts another when the old one dies while the new one starts, and that dies too', async () => {
      const first = await open(HINTED);
      const second = await turnHour();
      first.exit('SIGSEGV');
      await clock.advance(10);
      second.exit('SIGABRT');
      await clock.advance(100);
      assert.equal(capture.processes.length, 3);
      capture.newest.ready();
      capture.newest.packet('heard', 1);
      await clock.advance(1);
      assert.deepEqual(seen, ['heard']);
    });

    it('goes on with the new process when the old one dies beside it', async () => {
      const first = await open(HINTED);
      const second = await turnHour();
      second.ready();
      await clock.advance(500);
      first.packet('last', 1);
      first.exit('SIGSEGV');
      second.packet('last', 1);
      await clock.advance(10_000);
      assert.deepEqual(running(), [second]);
      assert.equal(capture.processes.length, 2);
      assert.deepEqual(seen, ['last']);
    });

    it('goes on with the old process when the new one dies beside it, and tries again', async () => {
      const first = await open(HINTED);
      const second = await turnHour();
      second.ready();
      await clock.advance(500);
      second.packet('first', 1);
      second.exit('SIGSEGV');
      await clock.advance(1);
      first.packet('first', 1);
      await clock.advance(10_000);
      assert.deepEqual(running(), [first]);
      first.packet('then', 2);
      await clock.advance(MINUTE_MS - 10_000);
      assert.equal(capture.processes.length, 3);
      assert.deepEqual(seen, ['first', 'then']);
      assert.deepEqual(sink.warnings, ['a new capture process ended (SIGSEGV); the one before it goes on']);
    });

    it('starts another when the new process dies while the old one is already ending', async () => {
      const first = await open(HINTED);
      const second = await turnHour();
      second.ready();
      first.obedient = false;
      await clock.advance(1500);
      second.exit('SIGSEGV');
      await clock.advance(1);
      assert.deepEqual(sink.warnings, ['capture on eth0 ended (SIGSEGV); starting it again']);
      await clock.advance(5000);
      assert.deepEqual([capture.processes.length, first.ended], [3, 'SIGKILL']);
    });

    it('starts another when both die side by side', async () => {
      const first = await open(HINTED);
      const second = await turnHour();
      second.ready();
      await clock.advance(500);
      first.exit('SIGSEGV');
      second.exit('SIGSEGV');
      await clock.advance(5000);
      assert.equal(capture.processes.length, 3);
      assert.match(sink.warnings.join(), /ended \(SIGSEGV\); starting it again/u);
    });

    it('starts a dead process again with the filter of that moment', async () => {
      const first = await open(HINTED);
      first.exit('SIGKILL');
      await clock.advance(99);
      assert.equal(capture.processes.length, 1);
      clock.set(START + 10 * HOUR_MS);
      await clock.advance(1);
      assert.equal(capture.newest.order?.filter, filterNow(HINTED));
      assert.notEqual(capture.newest.order.filter, first.order?.filter);
      capture.newest.ready();
      capture.newest.packet('heard', 1);
      await clock.advance(1);
      assert.deepEqual(seen, ['heard']);
      assert.deepEqual(sink.warnings, [
        'capture on eth0 ended (SIGKILL); starting it again',
        'capture on eth0 runs again',
      ]);
    });

    it('waits longer from start to start, ten seconds at the most, and says why once', async () => {
      const first = await open(HINTED);
      first.exit('SIGKILL');
      const waits: number[] = [];
      for (let count = 2; count < 16; count += 1) {
        const before = clock.now();
        while (capture.processes.length < count) await clock.advance(100);
        waits.push(clock.now() - before);
        capture.newest.report({ kind: 'failed', fault: 'interface', message: '' });
        await clock.advance(0);
      }
      assert.deepEqual(waits, [
        ...[100, 200, 400, 800, 1600, 3200, 6400],
        ...[10_000, 10_000, 10_000, 10_000, 10_000, 10_000, 10_000],
      ]);
      const gone = 'interface eth0 does not exist (ip link lists those that do)';
      assert.deepEqual(sink.warnings, [
        'capture on eth0 ended (SIGKILL); starting it again',
        `capture cannot be started again: ${gone}; trying on`,
      ]);
    });

    it('kills a process that writes nonsense, and starts another', async () => {
      const first = await open(HINTED);
      first.stdout.write(Buffer.alloc(2000, 0xff));
      await clock.advance(100);
      assert.equal(first.ended, 'SIGKILL');
      assert.equal(capture.processes.length, 2);
      assert.match(sink.warnings.join(), /wrote nonsense/u);
    });
  });

  describe('renew()', () => {
    it('starts nothing for the same filter, and takes the needs for later', async () => {
      const frozen = HINTED.map((need) => ({ ...need, hints: () => need.hints?.(START) ?? [] }));
      await open(frozen);
      await capture.run.renew(HINTED);
      assert.equal(capture.processes.length, 1);
      const second = await turnHour();
      assert.equal(second.order?.filter, filterNow(HINTED));
    });

    it('resolves when the new filter is in force, and not before', async () => {
      const first = await open(PLAIN);
      let done = false;
      const renewing = capture.run.renew(OTHER).then(() => (done = true));
      await clock.advance(1000);
      assert.equal(done, false);
      assert.equal(capture.newest.order?.filter, filterNow(OTHER));
      capture.newest.ready();
      await renewing;
      assert.deepEqual(running(), [first, capture.newest]);
      await clock.advance(1000);
      assert.deepEqual(running(), [capture.newest]);
      await clock.advance(HOUR_MS);
      assert.equal(capture.processes.length, 2, 'the checks ask for the new needs');
    });

    it('rejects when the new process cannot start, and everything stays', async () => {
      const first = await open(HINTED);
      const renewing = capture.run.renew(OTHER);
      await clock.advance(0);
      capture.newest.report({ kind: 'failed', fault: 'permission', message: '' });
      await assert.rejects(renewing, { name: 'KnockError', code: 'ERR_CAPTURE_PERMISSION' });
      await clock.advance(1);
      assert.deepEqual(running(), [first]);
      assert.deepEqual(sink.warnings, []);
      await clock.advance(MINUTE_MS);
      assert.equal(capture.newest.order?.filter, filterNow(HINTED));
    });

    it('rejects with what the needs throw, and starts nothing', async () => {
      const first = await open(PLAIN);
      const hints = (): never => {
        throw new RangeError('no such hour');
      };
      await assert.rejects(capture.run.renew([{ protocol: 'udp', ports: [1, 1], hints }]), /no such hour/u);
      assert.deepEqual(running(), [first]);
      assert.equal(capture.processes.length, 1);
    });

    it('takes its turn: the next change begins when the one before it is over', async () => {
      await open(PLAIN);
      const renewals = [capture.run.renew(OTHER), capture.run.renew(HINTED), capture.run.renew(PLAIN)];
      for (const [i, needs] of [OTHER, HINTED, PLAIN].entries()) {
        await clock.advance(100);
        assert.equal(capture.processes.length, i + 2);
        assert.equal(capture.newest.order?.filter, filterNow(needs));
        capture.newest.ready();
        await renewals[i];
        await clock.advance(1900);
        assert.equal(capture.processes.length, i + 2);
        assert.deepEqual(running(), [capture.newest]);
      }
      await clock.advance(MINUTE_MS);
      assert.equal(capture.processes.length, 4);
    });

    it('goes on after a renewal that failed', async () => {
      await open(PLAIN);
      const failing = assert.rejects(capture.run.renew(OTHER));
      const next = capture.run.renew(HINTED);
      await clock.advance(0);
      capture.newest.exit('SIGKILL');
      await failing;
      await clock.advance(0);
      capture.newest.ready();
      await next;
      assert.equal(capture.processes.length, 3);
    });

    it('starts at once while a dead process waits for its restart', async () => {
      const first = await open(PLAIN);
      first.exit('SIGKILL');
      await clock.advance(10);
      const renewing = capture.run.renew(OTHER);
      await clock.advance(0);
      assert.equal(capture.newest.order?.filter, filterNow(OTHER));
      capture.newest.ready();
      await renewing;
      await clock.advance(20_000);
      assert.deepEqual([capture.processes.length, running()], [2, [capture.newest]]);
    });

    it('is tried on with the earlier needs when nothing runs and it fails', async () => {
      const first = await open(PLAIN);
      first.exit('SIGKILL');
      await clock.advance(10);
      const failing = assert.rejects(capture.run.renew(OTHER), { code: 'ERR_CAPTURE' });
      await clock.advance(0);
      capture.newest.exit('SIGKILL');
      await failing;
      assert.equal(clock.pending, 2, 'one check and one restart');
      await clock.advance(200);
      assert.equal(capture.processes.length, 3);
      assert.equal(capture.newest.order?.filter, filterNow(PLAIN));
    });

    it('rejects before the capture is open, when it could not be opened, and after close()', async () => {
      await open(PLAIN);
      const unopened = fakeCapture(sink.context);
      const refused = { name: 'KnockError', code: 'ERR_CAPTURE' };
      await assert.rejects(unopened.run.renew(OTHER), refused);
      const opening = unopened.run.open();
      await assert.rejects(unopened.run.renew(OTHER), refused);
      unopened.newest.exit('SIGKILL');
      await assert.rejects(opening, refused);
      await assert.rejects(unopened.run.renew(OTHER), refused);
      await unopened.run.close();
      await capture.run.close();
      await assert.rejects(capture.run.renew(OTHER), refused);
      assert.deepEqual([unopened.processes.length, capture.processes.length], [1, 1]);
    });
  });

  describe('close()', () => {
    it('ends both processes while the new one starts', async () => {
      await open(HINTED);
      await turnHour();
      await capture.run.close();
      assert.deepEqual(
        capture.processes.map(({ ended }) => ended),
        ['SIGKILL', 'SIGKILL'],
      );
    });

    for (const ms of [0, 249, 251, 999, 1500]) {
      it(`ends both processes ${ms} ms after the new one was ready, and delivers no more`, async () => {
        const first = await open(HINTED);
        const second = await turnHour();
        second.ready();
        first.obedient = false;
        await clock.advance(ms);
        const closing: Promise<void>[] = [];
        sink.onFrame = (bytes, start, captured) => {
          seen.push(bytes.toString('latin1', start, start + captured));
          closing.push(capture.run.close());
        };
        first.packets(['last', 'too late'], 1);
        second.packets(['last', 'too late'], 1);
        closing.push(capture.run.close());
        await Promise.all(closing);
        await clock.advance(10_000);
        assert.deepEqual([running(), seen, sink.warnings], [[], ['last'], []]);
      });
    }

    it('rejects renewals that wait for their turn, and starts nothing for them', async () => {
      await open(PLAIN);
      const refused = { name: 'KnockError', code: 'ERR_CAPTURE' };
      const waiting = [capture.run.renew(OTHER), capture.run.renew(HINTED)];
      const rejected = Promise.all(waiting.map((each) => assert.rejects(each, refused)));
      await clock.advance(0);
      await capture.run.close();
      await rejected;
      assert.equal(capture.processes.length, 2);
    });
  });

  it('tells of root that stays once, not each hour', async () => {
    await open(HINTED);
    for (let hour = 0; hour < 3; hour += 1) {
      await clock.advance(MINUTE_MS);
      capture.newest.report({ kind: 'ready', droppedRoot: false });
      await clock.advance(HOUR_MS - MINUTE_MS);
    }
    assert.deepEqual(sink.warnings, [
      'capture process keeps root of this user namespace: there is no other user in it',
    ]);
  });

  it('says that a process could not be started at all', async () => {
    await open(PLAIN);
    const process = new FakeProcess();
    const order = { device: 'eth0', filter: '', uid: 1, gid: 1 };
    const child = new LiveChild({ process, order, clock, sink });
    process.emit('error', new Error('spawn\tEAGAIN'));
    await assert.rejects(child.ready, {
      code: 'ERR_CAPTURE',
      message: 'capture process cannot be started: spawn\\u{9}EAGAIN',
    });
    await child.kill();
  });
});
