// What every replay store must do, as cases for any test runner. Time is virtual; a store that keeps its state
// elsewhere is given the chance to restart on it.

import assert from 'node:assert/strict';
import type { ReplayContext, ReplayStore } from '../replay/store.ts';
import type { ConformanceCase } from './case.ts';
import { virtualClock } from './clock.ts';
import { DURABLE_STORE, EVERY_STORE, WINDOW_MS, type StoreCase } from './store-cases.ts';
import { DURABLE_ONCE, ONCE } from './store-once.ts';

/** State that nothing was ever claimed in. */
export interface StoreFixture {
  /** A store on this state, not opened. */
  readonly store: ReplayStore;
  /** One more store on the same state, not opened, as after a restart of the process. */
  readonly again: () => ReplayStore;
  /** Removes the state; the stores are closed by then. */
  readonly dispose: () => Promise<void>;
}

/** {@link storeConformance}'s options. */
export interface StoreSuiteOptions {
  /** Makes fresh state for one case. */
  readonly make: () => Promise<StoreFixture>;
  /** Whether the state survives a restart; adds the cases for that. */
  readonly durable: boolean;
}

/**
 * The cases that a {@link ReplayStore} must pass.
 * @example
 * for (const { title, run } of storeConformance({ durable: false, make })) it(title, run);
 */
export function storeConformance(options: StoreSuiteOptions): ConformanceCase[] {
  const cases = [...EVERY_STORE, ...ONCE, ...(options.durable ? [...DURABLE_STORE, ...DURABLE_ONCE] : [])];
  return [
    {
      title: `says that it is ${options.durable ? 'durable' : 'not durable'}`,
      run: () =>
        withBench(options, ({ fixture: { store } }) => {
          assert.equal(store.durable, options.durable);
          assert.notEqual(store.name, '');
          return Promise.resolve();
        }),
    },
    ...cases.map(({ title, body }) => ({ title, run: () => withBench(options, body) })),
  ];
}

async function withBench(options: StoreSuiteOptions, body: StoreCase['body']): Promise<void> {
  const fixture = await options.make();
  const clock = virtualClock();
  const opened: ReplayStore[] = [];
  const context: ReplayContext = { clock, windowMs: WINDOW_MS, warning: () => undefined };
  const open = async (store: ReplayStore): Promise<ReplayStore> => {
    await store.open(context);
    opened.push(store);
    return store;
  };
  const ready = async (store: ReplayStore): Promise<ReplayStore> => {
    await open(store);
    await clock.advance(WINDOW_MS);
    return store;
  };
  try {
    await body({ clock, fixture, open, ready });
  } finally {
    for (const store of opened) await store.close();
    await fixture.dispose();
  }
}
