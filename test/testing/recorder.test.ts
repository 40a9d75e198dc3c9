// What a test waits for counts as come when it is there, also on a host that stood still until the time was over.

import assert from 'node:assert/strict';
import { within } from '../../lib/testing/recorder.ts';

function standStill(ms: number): void {
  for (const end = performance.now() + ms; performance.now() < end;);
}

describe('within', () => {
  it('takes what is there after a standstill of the host, though the time is over', async () => {
    const work = within(
      100,
      'it',
      new Promise((resolve) => setTimeout(() => setImmediate(resolve, 'there'), 20)),
    );
    standStill(300);
    assert.equal(await work, 'there');
  });

  it('does not wait for ever', async () => {
    await assert.rejects(
      within(100, 'it', new Promise(() => undefined)),
      /^Error: it did not come within 100 ms$/u,
    );
  });

  it('passes on what the work comes to', async () => {
    await assert.rejects(within(1000, 'it', Promise.reject(new Error('no'))), /^Error: no$/u);
  });
});
