// Captures as the half with root keeps them: the order that it gives, when, and that what a capture says is looked at.

import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { Socket } from 'node:net';
import { CaptureKeeper } from '../../lib/privilege/capture-keeper.ts';
import type { Order } from '../../lib/privilege/messages.ts';

class FakeCapture extends EventEmitter {
  pid: number | undefined = 1;
  connected = true;
  stdout: Socket | null = new Socket();
  readonly did: unknown[] = [];
  send(order: object): void {
    this.did.push(order);
  }
  disconnect(): void {
    this.did.push('disconnect');
  }
  kill(): void {
    this.did.push('kill');
    this.emit('exit', null, 'SIGKILL');
  }
}

function bench() {
  const started: FakeCapture[] = [];
  const told: Order[] = [];
  const handed: number[] = [];
  let next = new FakeCapture();
  const keeper = new CaptureKeeper({
    order: { device: 'eth0', uid: 65_534, gid: 65_534 },
    start: () => {
      const capture = next;
      next = new FakeCapture();
      started.push(capture);
      return capture;
    },
    handOver: (capture) => handed.push(capture),
    tell: (order) => told.push(order),
  });
  return { keeper, started, told, handed, fail: () => (next.pid = undefined), failing: () => next };
}

describe('the captures of the half with root', () => {
  it('are of its own device and user, and begin when their pipe has been received', async () => {
    const { keeper, started, handed } = bench();
    assert.equal(await keeper.start('less 1'), 1);
    assert.deepEqual(handed, [1]);
    assert.deepEqual(started[0]?.did, [], 'until then this process would read what it captures');
    keeper.received(1);
    keeper.received(1);
    keeper.received(99);
    assert.deepEqual(started[0]?.did, [{ device: 'eth0', uid: 65_534, gid: 65_534, filter: 'less 1' }]);
  });

  it('are four at the most', async () => {
    const { keeper, started } = bench();
    for (let n = 0; n < 4; n += 1) await keeper.start('less 1');
    await assert.rejects(keeper.start('less 1'), { code: 'ERR_WARDEN' });
    keeper.kill(2);
    assert.equal(await keeper.start('less 1'), 5);
    assert.equal(started.length, 5);
  });

  it('tell of themselves what a capture tells, and are killed for anything else', async () => {
    const { keeper, started, told } = bench();
    await keeper.start('less 1');
    const [capture] = started;
    capture?.emit('message', { kind: 'ready', droppedRoot: true, more: 1 });
    capture?.emit('message', { kind: 'dropped', count: 3 });
    capture?.emit('message', { kind: 'failed', fault: 'other', message: 'x\u001b[2J' });
    assert.deepEqual(
      told.map((order) => (order.kind === 'report' ? order.report : order)),
      [
        { kind: 'ready', droppedRoot: true },
        { kind: 'dropped', count: 3 },
        { kind: 'failed', fault: 'other', message: 'x\\u{1b}[2J' },
      ],
    );
    assert.deepEqual(capture?.did, []);
    for (const said of [
      null,
      'ready',
      {},
      { kind: 'dropped', count: 'x' },
      { kind: 'failed', fault: 'nice' },
    ]) {
      const { keeper: other, started: theirs, told: heard } = bench();
      await other.start('less 1');
      theirs[0]?.emit('message', said);
      assert.deepEqual(theirs[0]?.did, ['kill'], JSON.stringify(said));
      assert.deepEqual(heard, [{ kind: 'ended', capture: 1, code: null, signal: 'SIGKILL' }]);
    }
  });

  it('end by themselves when asked, at once when told, and all at the end', async () => {
    const { keeper, started } = bench();
    for (let n = 0; n < 3; n += 1) await keeper.start('less 1');
    keeper.retire(1);
    keeper.kill(2);
    await keeper.end();
    assert.deepEqual(
      started.map(({ did }) => did),
      [['disconnect', 'kill'], ['kill'], ['kill']],
    );
    await keeper.end();
  });

  it('end also where they may not be signalled, and leave no pipe here', async () => {
    const { keeper, started } = bench();
    await keeper.start('less 1');
    const [capture] = started;
    assert.ok(capture !== undefined);
    // Root without CAP_KILL; it ends with the channel.
    capture.kill = () => capture.emit('error', new Error('kill EPERM'));
    capture.disconnect = () => capture.emit('exit', 0, null);
    await keeper.end();
    assert.equal(capture.stdout?.destroyed, true);
  });

  it('that cannot be started are an error, and none', async () => {
    const { keeper, fail, failing } = bench();
    fail();
    const capture = failing();
    const starting = keeper.start('less 1');
    capture.emit('error', new Error('EMFILE'));
    await assert.rejects(starting, /EMFILE/u);
    await keeper.end();
  });
});
