// A listener with everything under the test's control, and what it said.

import type { PacketSource } from '../../lib/capture/source.ts';
import type { FirewallDriver } from '../../lib/firewall/driver.ts';
import { mock, type MockDriver } from '../../lib/firewall/mock.ts';
import { KnockListener } from '../../lib/listener/listener.ts';
import type { ListenerOptions } from '../../lib/listener/options.ts';
import { memoryReplay } from '../../lib/replay/memory.ts';
import type { ReplayStore } from '../../lib/replay/store.ts';
import { virtualClock, type VirtualClock } from '../../lib/testing/clock.ts';
import { memorySource, type MemorySource } from '../../lib/testing/source.ts';
import { spoken } from '../support/spoken.ts';

export interface Rig {
  readonly listener: KnockListener;
  readonly clock: VirtualClock;
  readonly driver: MockDriver;
  readonly source: MemorySource;
  readonly replay: ReplayStore;
  /** Events as lines: `grant alice 198.51.100.7 ssh spoken`, `close ssh used`, `reject replayed alice 1`... */
  readonly said: string[];
  /** What the parts were told to do, in order: `replay.open`, `source.open`, `driver.setup`... */
  readonly order: string[];
}

export interface RigOptions extends Partial<ListenerOptions> {
  readonly memory?: MemorySource;
  /** Replaces methods of the mock driver, of the replay store, of the source. */
  readonly drive?: (good: MockDriver) => Partial<FirewallDriver>;
  readonly store?: (good: ReplayStore) => Partial<ReplayStore>;
  readonly wrap?: (good: MemorySource) => Partial<PacketSource>;
}

export function rig({ memory, drive, store, wrap, ...options }: RigOptions = {}): Rig {
  const clock = virtualClock();
  const driver = mock({ clock });
  const source = memory ?? memorySource();
  const replay = memoryReplay();
  const order: string[] = [];
  const listener = new KnockListener({
    source: sourceOf(source, wrap?.(source) ?? {}, order),
    driver: driverOf(driver, drive?.(driver) ?? {}, order),
    replay: storeOf(replay, store?.(replay) ?? {}, order),
    schemes: [spoken()],
    services: { ssh: { port: 22 } },
    clients: [{ name: 'alice', services: ['ssh'] }],
    clock,
    ...options,
  });
  return { listener, clock, driver, source, replay, said: listen(listener), order };
}

function sourceOf(good: MemorySource, change: Partial<PacketSource>, order: string[]): PacketSource {
  return {
    ...{ name: good.name, loopback: good.loopback, checksDestination: good.checksDestination },
    open(context) {
      order.push('source.open');
      return change.open === undefined ? good.open(context) : change.open(context);
    },
    close() {
      order.push('source.close');
      return change.close === undefined ? good.close() : change.close();
    },
    ...(change.renew === undefined
      ? {}
      : {
          renew(needs) {
            order.push('source.renew');
            return change.renew?.(needs) ?? Promise.resolve();
          },
        }),
  };
}

function storeOf(good: ReplayStore, change: Partial<ReplayStore>, order: string[]): ReplayStore {
  const store = { ...good, ...change };
  return {
    ...store,
    open(context) {
      order.push('replay.open');
      return store.open(context);
    },
    claim(client, counter) {
      order.push('replay.claim');
      return store.claim(client, counter);
    },
    close() {
      order.push('replay.close');
      return store.close();
    },
  };
}

function driverOf(good: MockDriver, change: Partial<FirewallDriver>, order: string[]): FirewallDriver {
  const driver: FirewallDriver = { ...good, ...change };
  return {
    ...driver,
    setup(services, context) {
      order.push('driver.setup');
      return driver.setup(services, context);
    },
    open(grant) {
      order.push('driver.open');
      return driver.open(grant);
    },
    close(grant) {
      order.push('driver.close');
      return driver.close(grant);
    },
    teardown() {
      order.push('driver.teardown');
      return driver.teardown();
    },
  };
}

function listen(listener: KnockListener): string[] {
  const said: string[] = [];
  listener.on('grant', ({ grant, scheme }) =>
    said.push(`grant ${grant.client} ${grant.source} ${grant.service} ${scheme}`),
  );
  listener.on('close', ({ grant, reason }) => said.push(`close ${grant.service} ${reason}`));
  listener.on('reject', ({ reason, client, count }) =>
    said.push(`reject ${reason} ${client ?? '-'} ${count}`),
  );
  listener.on('warning', ({ message }) => said.push(`warning ${message}`));
  listener.on('error', (error) => said.push(`error ${error.message}`));
  listener.on('end', () => said.push('end'));
  return said;
}

export function never<T>(): Promise<T> {
  return new Promise(() => undefined);
}
