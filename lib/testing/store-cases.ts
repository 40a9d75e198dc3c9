// The cases of store-suite.ts: what a claim answers, and what a restart must not change.

import assert from 'node:assert/strict';
import { isKnockError } from '../errors.ts';
import type { ClaimResult, ReplayStore } from '../replay/store.ts';
import type { VirtualClock } from './clock.ts';
import type { StoreFixture } from './store-suite.ts';

/** What a case works with: a fixture, and stores opened on one virtual clock. */
export interface StoreBench {
  readonly clock: VirtualClock;
  readonly fixture: StoreFixture;
  /** Opens a store; `ready` also lets the first window pass. */
  readonly open: (store: ReplayStore) => Promise<ReplayStore>;
  readonly ready: (store: ReplayStore) => Promise<ReplayStore>;
}

export interface StoreCase {
  readonly title: string;
  readonly body: (bench: StoreBench) => Promise<void>;
}

export const WINDOW_MS = 20_000;
const MAX_COUNTER = 2n ** 64n - 1n;
const CROWD = 200;

export const EVERY_STORE: readonly StoreCase[] = [
  {
    title: 'claims a counter once, and never a lower one',
    body: async ({ fixture, ready }) => {
      const store = await ready(fixture.store);
      assert.deepEqual(await inTurn(store, 'alice', [5n, 6n, 1000n]), ['claimed', 'claimed', 'claimed']);
      const results = await inTurn(store, 'alice', [5n, 4n, 6n, 7n, 999n, 1000n, 0n]);
      assert.deepEqual(results, Array(7).fill('replayed'));
      assert.equal(await store.claim('alice', 1001n), 'claimed');
    },
  },
  {
    title: 'claims every counter from 0 to 2^64-1',
    body: async ({ fixture, ready }) => {
      const store = await ready(fixture.store);
      const counters = [
        0n,
        1n,
        2n ** 32n,
        2n ** 53n,
        2n ** 53n + 1n,
        2n ** 63n,
        MAX_COUNTER - 1n,
        MAX_COUNTER,
      ];
      assert.deepEqual(await inTurn(store, 'alice', counters), Array(counters.length).fill('claimed'));
      assert.deepEqual(await inTurn(store, 'alice', counters), Array(counters.length).fill('replayed'));
    },
  },
  {
    title: 'answers failed to a counter that is out of range',
    body: async ({ fixture, ready }) => {
      const store = await ready(fixture.store);
      const counters = [-1n, MAX_COUNTER + 1n, 2n ** 200n];
      assert.deepEqual(await inTurn(store, 'alice', counters), ['failed', 'failed', 'failed']);
      assert.equal(await store.claim('alice', 0n), 'claimed');
    },
  },
  {
    title: 'keeps clients apart, whatever their names',
    body: async ({ fixture, ready }) => {
      const store = await ready(fixture.store);
      const names = [
        'a',
        'A',
        'ab',
        'a ',
        '',
        'é',
        '__proto__',
        'constructor',
        'x'.repeat(5000),
        'x'.repeat(4999),
      ];
      for (const name of names) assert.equal(await store.claim(name, 7n), 'claimed', name);
      for (const name of names) assert.equal(await store.claim(name, 7n), 'replayed', name);
    },
  },
  {
    title: 'claims once when many claim the same counter at the same time',
    body: async ({ fixture, ready }) => {
      const store = await ready(fixture.store);
      const results = await atOnce(store, 'alice', Array<bigint>(CROWD).fill(9n));
      assert.equal(results.filter((result) => result === 'claimed').length, 1);
      assert.equal(results.filter((result) => result === 'replayed').length, CROWD - 1);
    },
  },
  {
    title: 'keeps the order of claims made at the same time',
    body: async ({ fixture, ready }) => {
      const store = await ready(fixture.store);
      const rising = Array.from({ length: CROWD }, (_, i) => BigInt(i));
      assert.deepEqual(await atOnce(store, 'up', rising), Array(CROWD).fill('claimed'));
      const falling = await atOnce(store, 'down', rising.toReversed());
      assert.deepEqual(falling, ['claimed', ...Array<ClaimResult>(CROWD - 1).fill('replayed')]);
    },
  },
  {
    title: 'answers failed before it is opened and after it is closed',
    body: async ({ fixture, ready }) => {
      assert.equal(await fixture.store.claim('alice', 1n), 'failed');
      const store = await ready(fixture.store);
      assert.equal(await store.claim('alice', 1n), 'claimed');
      await store.close();
      assert.equal(await store.claim('alice', 2n), 'failed');
    },
  },
  {
    title: 'can be closed twice, and without being opened',
    body: async ({ fixture, ready }) => {
      await fixture.store.close();
      const store = await ready(fixture.store);
      await store.close();
      await store.close();
      assert.equal(await store.claim('alice', 1n), 'failed');
    },
  },
  {
    title: 'leaves no timer behind when it is closed',
    body: async ({ fixture, open, clock }) => {
      const store = await open(fixture.store);
      await store.close();
      assert.equal(clock.pending, 0);
    },
  },
  {
    title: 'still refuses what it accepted when it is closed and opened again',
    body: async ({ fixture, ready, open }) => {
      const store = await ready(fixture.store);
      assert.equal(await store.claim('alice', 5n), 'claimed');
      await store.close();
      await open(store);
      assert.deepEqual(await inTurn(store, 'alice', [5n, 4n, 6n]), ['replayed', 'replayed', 'claimed']);
    },
  },
];

export const DURABLE_STORE: readonly StoreCase[] = [
  {
    title: 'refuses everything for one window when it has no past',
    body: async ({ fixture, open, clock }) => {
      const store = await open(fixture.store);
      assert.equal(await store.claim('alice', 1n), 'window');
      await clock.advance(WINDOW_MS - 1);
      assert.equal(await store.claim('alice', 2n), 'window');
      await clock.advance(1);
      assert.equal(await store.claim('alice', 3n), 'claimed');
    },
  },
  {
    title: 'does not end the window early because of a restart',
    body: async ({ fixture, open, clock }) => {
      await (await open(fixture.store)).close();
      await clock.advance(WINDOW_MS / 2);
      const store = await open(fixture.again());
      await clock.advance(WINDOW_MS / 2 - 1);
      assert.equal(await store.claim('alice', 1n), 'window');
      await clock.advance(1);
      assert.equal(await store.claim('alice', 1n), 'claimed');
    },
  },
  {
    title:
      'does not end the window early because the clock was set forward, nor refuse for years because it was set back',
    body: async ({ fixture, open, clock }) => {
      const store = await open(fixture.store);
      clock.set(clock.now() + 3_600_000);
      assert.equal(await store.claim('alice', 1n), 'window');
      await clock.advance(WINDOW_MS);
      assert.equal(await store.claim('alice', 1n), 'claimed');
      await store.close();
      clock.set(clock.now() - 86_400_000 * 365);
      const later = await open(fixture.again());
      await clock.advance(WINDOW_MS);
      assert.equal(await later.claim('alice', 2n), 'claimed');
    },
  },
  {
    title: 'refuses after a restart what it accepted before, without a new window',
    body: async ({ fixture, ready, open }) => {
      const store = await ready(fixture.store);
      assert.deepEqual(await inTurn(store, 'alice', [5n, 9n]), ['claimed', 'claimed']);
      assert.equal(await store.claim('bob', 3n), 'claimed');
      await store.close();
      const later = await open(fixture.again());
      assert.deepEqual(await inTurn(later, 'alice', [5n, 9n, 10n]), ['replayed', 'replayed', 'claimed']);
      assert.deepEqual(await inTurn(later, 'bob', [3n, 4n]), ['replayed', 'claimed']);
    },
  },
  {
    title: 'finishes the claims that were under way when it was closed',
    body: async ({ fixture, ready, open }) => {
      const store = await ready(fixture.store);
      const names = Array.from({ length: CROWD }, (_, i) => `client-${String(i)}`);
      const pending = Promise.all(names.map((name) => store.claim(name, 1n)));
      await store.close();
      const results = await pending;
      const later = await open(fixture.again());
      for (const [i, name] of names.entries()) {
        assert.notEqual(results[i], 'replayed');
        if (results[i] === 'claimed') assert.equal(await later.claim(name, 1n), 'replayed');
      }
    },
  },
  {
    title: 'never accepts a counter twice through two stores on the same state',
    body: async ({ fixture, ready }) => {
      const store = await ready(fixture.store);
      assert.equal(await store.claim('alice', 5n), 'claimed');
      const other = fixture.again();
      try {
        await ready(other);
      } catch (error) {
        assert.ok(isKnockError(error), String(error));
        assert.equal(error.code, 'ERR_REPLAY_UNREADABLE');
        assert.equal(await store.claim('alice', 6n), 'claimed');
        return;
      }
      const results = [
        await other.claim('alice', 5n),
        await other.claim('alice', 6n),
        await store.claim('alice', 6n),
      ];
      assert.deepEqual(results, ['replayed', 'claimed', 'replayed']);
    },
  },
];

async function inTurn(
  store: ReplayStore,
  client: string,
  counters: readonly bigint[],
): Promise<ClaimResult[]> {
  const results: ClaimResult[] = [];
  for (const counter of counters) results.push(await store.claim(client, counter));
  return results;
}

function atOnce(store: ReplayStore, client: string, counters: readonly bigint[]): Promise<ClaimResult[]> {
  return Promise.all(counters.map((counter) => store.claim(client, counter)));
}
