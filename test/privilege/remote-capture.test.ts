// Captures as the verifying half sees them: what the half with root tells of them, in whatever order it arrives.

import assert from 'node:assert/strict';
import { RemoteCaptures } from '../../lib/privilege/remote-capture.ts';

describe('a capture that another process keeps', () => {
  it('has ended also where that is told together with its number', async () => {
    let answer: (number: unknown) => void = () => undefined;
    const captures = new RemoteCaptures({
      ask: () => new Promise((resolve) => (answer = resolve)),
      tell: () => undefined,
    });
    const capture = captures.start();
    const ended = new Promise((resolve) => {
      capture.once('exit', (code, signal) => {
        resolve([code, signal]);
      });
    });
    capture.send({ device: 'eth0', filter: 'less 1', uid: 1, gid: 1 }, () => undefined);
    // Two lines of one chunk.
    answer(1);
    captures.ended(1, null, 'SIGKILL');
    assert.deepEqual(await ended, [null, 'SIGKILL']);
  });
});
