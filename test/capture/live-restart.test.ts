// A live capture whose interface goes away: what it says, when it starts again, and that a process that could not be
// started is never signalled.

import assert from 'node:assert/strict';
import { LiveChild } from '../../lib/capture/live-child.ts';
import { LiveRun } from '../../lib/capture/live-run.ts';
import { virtualClock, type VirtualClock } from '../../lib/testing/clock.ts';
import { recorder, type RecordingSink } from '../../lib/testing/recorder.ts';
import { FakeProcess } from '../support/fake-capture.ts';

const DOWN = 'interface eth0 is down or gone (ip link set eth0 up)';

describe('LiveRun on an interface that goes away', () => {
  let clock: VirtualClock;
  let sink: RecordingSink;
  let run: LiveRun;
  let processes: FakeProcess[];
  let isUp: boolean;
  const newest = (): FakeProcess => processes.at(-1) ?? assert.fail('no process was started');

  /** What the capture process does when it hears no more. */
  const fail = (fault: 'down' | 'deaf'): void => {
    newest().report({ kind: 'failed', fault, message: '' });
    newest().exit('exit');
  };

  beforeEach(async () => {
    clock = virtualClock();
    sink = recorder({ clock, needs: [{ protocol: 'tcp-syn', ports: [7000, 7000] }] });
    processes = [];
    isUp = true;
    run = new LiveRun({
      ...{ context: sink.context, device: 'eth0', isUp: () => isUp },
      spawn(filter) {
        const process = new FakeProcess(processes.length + 1);
        processes.push(process);
        const order = { device: 'eth0', filter, uid: 1, gid: 1 };
        return new LiveChild({ process, order, clock, sink });
      },
    });
    const opening = run.open();
    newest().ready();
    await opening;
  });

  afterEach(async () => {
    await run.close();
    assert.equal(clock.pending, 0);
  });

  /** Takes it away, and lets attempts fail for so long. */
  const away = async (ms: number): Promise<void> => {
    isUp = false;
    fail('down');
    for (const until = clock.now() + ms; clock.now() < until; await clock.advance(100))
      if (newest().ended === null && processes.length > 1) fail('down');
  };

  it('says what went wrong in words, and when it runs again', async () => {
    fail('deaf');
    await clock.advance(100);
    newest().ready();
    await clock.advance(1);
    assert.deepEqual(sink.warnings, [
      'capture on eth0 ended (interface eth0 was down for a moment); starting it again',
      'capture on eth0 runs again',
    ]);
  });

  it('delivers what a process wrote before it ended', async () => {
    const seen: string[] = [];
    sink.onFrame = (bytes, start, captured) => seen.push(bytes.toString('latin1', start, start + captured));
    newest().packet('last', 1);
    fail('deaf');
    await clock.advance(1);
    assert.deepEqual(seen, ['last']);
  });

  it('starts within half a second when the interface is up again, however long it was away', async () => {
    await away(120_000);
    const before = processes.length;
    assert.ok(before < 25, `${before} processes`);
    isUp = true;
    await clock.advance(500);
    assert.equal(processes.length, before + 1);
    newest().ready();
    await clock.advance(1);
    assert.deepEqual(sink.warnings, [
      `capture on eth0 ended (${DOWN}); starting it again`,
      `capture cannot be started again: ${DOWN}; trying on`,
      'capture on eth0 runs again',
    ]);
  });

  it('is not hurried by an interface that was up all the time', async () => {
    isUp = true;
    newest().exit('SIGKILL');
    for (let failures = 0; failures < 8; failures += 1) {
      const count = processes.length;
      while (processes.length === count) await clock.advance(100);
      newest().exit('SIGKILL');
      await clock.advance(0);
    }
    const count = processes.length;
    await clock.advance(9900);
    assert.equal(processes.length, count);
  });

  it('tells of trouble once more after it ran', async () => {
    for (let time = 0; time < 2; time += 1) {
      await away(15_000);
      isUp = true;
      await clock.advance(500);
      newest().ready();
      await clock.advance(1);
    }
    assert.equal(sink.warnings.filter((text) => text.startsWith('capture cannot be')).length, 2);
    assert.equal(sink.warnings.filter((text) => text.endsWith('runs again')).length, 2);
  });

  it('starts nothing after close()', async () => {
    await away(1000);
    const count = processes.length;
    await run.close();
    isUp = true;
    await clock.advance(20_000);
    assert.equal(processes.length, count);
  });

  it('ends a process that it may not signal', async () => {
    const protectedOne = new FakeProcess(99);
    // Root without CAP_KILL: Node reports EPERM as an event.
    protectedOne.kill = () => protectedOne.emit('error', new Error('kill EPERM'));
    const order = { device: 'eth0', filter: '', uid: 1, gid: 1 };
    const child = new LiveChild({ process: protectedOne, order, clock, sink });
    protectedOne.ready();
    await child.ready;
    await child.kill();
    assert.equal(protectedOne.ended, 'disconnected');
  });

  it('neither signals nor speaks to a process that could not be started, and tries again', async () => {
    newest().exit('SIGKILL');
    const unborn = new FakeProcess();
    // Node signals process group 0, our own, in its place.
    unborn.kill = () => assert.fail('signalled');
    unborn.send = () => assert.fail('spoken to');
    const order = { device: 'eth0', filter: '', uid: 1, gid: 1 };
    const child = new LiveChild({ process: unborn, order, clock, sink });
    const refused = assert.rejects(child.ready, {
      code: 'ERR_CAPTURE',
      message: /cannot be started.*EMFILE/u,
    });
    unborn.emit('error', new Error('spawn EMFILE'));
    await refused;
    await child.kill();
    await child.retire(clock);
    await clock.advance(100);
    assert.equal(processes.length, 2);
  });
});
