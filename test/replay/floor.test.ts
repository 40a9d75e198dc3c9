// What a store tells before anything is claimed: the highest counter of a client, so that a replay costs no cryptography.
// It must never be lower than what claim() would refuse, and asking must change nothing.

import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { hostFiles, type Files } from '../../lib/replay/disk.ts';
import { createReplayFile } from '../../lib/replay/file.ts';
import { memoryReplay } from '../../lib/replay/memory.ts';
import type { ReplayStore } from '../../lib/replay/store.ts';
import { virtualClock } from '../../lib/testing/clock.ts';
import { inDirectory, openStore, WINDOW_MS } from './bench.ts';

const MOST = 2n ** 64n - 1n;

async function inMemory(body: (store: ReplayStore) => Promise<void>): Promise<void> {
  const store = memoryReplay();
  await store.open({ clock: virtualClock(), windowMs: WINDOW_MS, warning: () => undefined });
  await body(store);
  await store.close();
}

function inFile(body: (store: ReplayStore) => Promise<void>): Promise<void> {
  return inDirectory(async (directory) => {
    const path = join(directory, 'replay');
    await createReplayFile(path);
    const { store } = await openStore(path);
    await body(store);
    await store.close();
  });
}

for (const [name, using] of [
  ['memoryReplay', inMemory],
  ['fileReplay', inFile],
] as const) {
  describe(`the floor of ${name}`, () => {
    it('is the highest counter claimed, per client, and null before the first', () =>
      using(async (store) => {
        assert.equal(store.floor('alice'), null);
        const steps: readonly [counter: bigint, floor: bigint][] = [
          [0n, 0n],
          [5n, 5n],
          [4n, 5n],
          [5n, 5n],
          [2n ** 63n, 2n ** 63n],
          [MOST, MOST],
        ];
        for (const [counter, floor] of steps) {
          await store.claim('alice', counter);
          assert.equal(store.floor('alice'), floor);
        }
        for (const other of ['bob', 'Alice', 'alice ', '', '__proto__', 'constructor']) {
          assert.equal(store.floor(other), null, other);
        }
      }));

    it('includes a claim at once, before it is durable: its replay must not be checked again meanwhile', () =>
      using(async (store) => {
        const claimed = store.claim('alice', 7n);
        assert.equal(store.floor('alice'), 7n);
        assert.equal(await claimed, 'claimed');
      }));

    it('does not change by asking, nor by a counter that is none', () =>
      using(async (store) => {
        await store.claim('alice', 7n);
        for (let i = 0; i < 3; i += 1)
          assert.deepEqual([store.floor('alice'), store.floor('bob')], [7n, null]);
        assert.equal(await store.claim('alice', MOST + 1n), 'failed');
        assert.equal(await store.claim('alice', -1n), 'failed');
        assert.equal(store.floor('alice'), 7n);
        assert.equal(await store.claim('bob', 0n), 'claimed');
      }));
  });
}

describe('the floor of fileReplay', () => {
  it('is there again after a restart', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'replay');
      await createReplayFile(path);
      const first = await openStore(path);
      await first.store.claim('alice', 7n);
      await first.store.close();
      assert.equal(first.store.floor('alice'), null, 'a closed store knows nothing');
      const second = await openStore(path);
      assert.deepEqual([second.store.floor('alice'), second.store.floor('bob')], [7n, null]);
      await second.store.close();
    }));

  it('is not known while everything is refused after a loss, and is not moved by what is refused', () =>
    inDirectory(async (directory) => {
      const clock = virtualClock();
      const { store } = await openStore(join(directory, 'replay'), clock);
      assert.equal(await store.claim('alice', 7n), 'window');
      assert.equal(store.floor('alice'), null);
      await clock.advance(WINDOW_MS);
      assert.equal(await store.claim('alice', 7n), 'claimed');
      assert.equal(store.floor('alice'), 7n);
      await store.close();
    }));

  it('stays where a claim was that could not be made durable: it is refused for good', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'replay');
      await createReplayFile(path);
      let full = false;
      const files: Files = {
        ...hostFiles,
        open: async (name, flags, mode) => {
          const handle = await open(name, flags, mode);
          const write = handle.write.bind(handle);
          handle.write = ((...args: Parameters<typeof write>) =>
            full ? Promise.reject(new Error('ENOSPC')) : write(...args)) as typeof handle.write;
          return handle;
        },
      };
      const { store } = await openStore(path, virtualClock(), files);
      assert.equal(await store.claim('alice', 6n), 'claimed');
      full = true;
      assert.equal(await store.claim('alice', 7n), 'failed');
      assert.equal(store.floor('alice'), 7n);
      full = false;
      assert.equal(await store.claim('alice', 7n), 'replayed');
      assert.equal(await store.claim('alice', 8n), 'claimed');
      await store.close();
    }));
});
