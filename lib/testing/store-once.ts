// The cases of store-suite.ts for knocks that have no counter, each of which is claimed once by an id of its own.

import assert from 'node:assert/strict';
import { WINDOW_MS, type StoreCase } from './store-cases.ts';

export const ONCE: readonly StoreCase[] = [
  {
    title: 'claims an id once for each client, beside the counters',
    body: async ({ fixture, ready, clock }) => {
      const store = await ready(fixture.store);
      const until = clock.now() + WINDOW_MS;
      const claims = [
        ['alice', 'one'],
        ['alice', 'two'],
        ['alice', 'one'],
        ['bob', 'one'],
        ['bob', 'one'],
      ] as const;
      const results = await Promise.all(claims.map(([client, id]) => store.claimOnce(client, id, until)));
      assert.deepEqual(results, ['claimed', 'claimed', 'replayed', 'claimed', 'replayed']);
      assert.equal(await store.claim('alice', 0n), 'claimed');
      assert.equal(store.floor('bob'), null);
      const claimed = claims.map(([client, id]) => store.wasClaimed(client, id));
      assert.deepEqual(
        claimed,
        claims.map(() => true),
      );
      assert.deepEqual([store.wasClaimed('bob', 'two'), store.wasClaimed('alice', '')], [false, false]);
    },
  },
  {
    title: 'refuses an id until its end, closed and opened again, and whatever the wall clock does',
    body: async ({ fixture, ready, open, clock }) => {
      const store = await ready(fixture.store);
      const until = clock.now() + WINDOW_MS;
      assert.equal(await store.claimOnce('alice', 'one', until), 'claimed');
      await store.close();
      await open(store);
      assert.equal(await store.claimOnce('alice', 'one', until), 'replayed');
      clock.set(clock.now() + 3_600_000);
      await clock.advance(WINDOW_MS / 2);
      clock.set(until - WINDOW_MS / 2);
      assert.equal(await store.claimOnce('alice', 'one', until), 'replayed');
    },
  },
  {
    title: 'refuses an id that it has forgotten, when the wall clock is set back; not one that ends later',
    body: async ({ fixture, ready, open, clock }) => {
      const store = await ready(fixture.store);
      const until = clock.now() + WINDOW_MS;
      assert.equal(await store.claimOnce('alice', 'one', until), 'claimed');
      await clock.advance(4 * WINDOW_MS);
      clock.set(until - WINDOW_MS);
      assert.equal(await store.claimOnce('alice', 'one', until), 'replayed');
      await store.close();
      await open(store);
      assert.equal(await store.claimOnce('alice', 'one', until), 'replayed');
      assert.equal(await store.claimOnce('alice', 'two', until + 1), 'claimed');
    },
  },
  {
    title: 'answers failed to an id before it is opened and after it is closed, and leaves no timer behind',
    body: async ({ fixture, ready, clock }) => {
      assert.equal(await fixture.store.claimOnce('alice', 'one', 1), 'failed');
      const store = await ready(fixture.store);
      assert.equal(await store.claimOnce('alice', 'one', clock.now()), 'claimed');
      await store.close();
      assert.equal(await store.claimOnce('alice', 'two', clock.now()), 'failed');
      assert.equal(clock.pending, 0);
    },
  },
];

export const DURABLE_ONCE: readonly StoreCase[] = [
  {
    title:
      'refuses ids as well for one window when it has no past, and after a restart those it accepted before',
    body: async ({ fixture, open, clock }) => {
      const store = await open(fixture.store);
      const until = clock.now() + 3 * WINDOW_MS;
      assert.equal(await store.claimOnce('alice', 'one', until), 'window');
      await clock.advance(WINDOW_MS);
      assert.equal(await store.claimOnce('alice', 'one', until), 'claimed');
      await store.close();
      const later = await open(fixture.again());
      assert.equal(await later.claimOnce('alice', 'one', until), 'replayed');
      assert.equal(await later.claimOnce('alice', 'two', until), 'claimed');
    },
  },
];
