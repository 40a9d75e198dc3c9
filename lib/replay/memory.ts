// Replay state that lives as long as its object: for tests, and for listeners that open nothing real. After a restart of
// the process it knows nothing, and unlike a durable store it does not refuse a window's worth of knocks then.

import type { ClaimResult, ReplayStore } from './store.ts';
import { isCounter } from './log.ts';

/**
 * A replay store in memory: `durable` is false, and a knock recorded before a restart works once more after it for as
 * long as it is valid. Use {@link fileReplay} with a driver that opens real ports.
 */
export function memoryReplay(): ReplayStore {
  const floors = new Map<string, bigint>();
  let isOpen = false;

  const claim = (client: string, counter: bigint): ClaimResult => {
    if (!isOpen || !isCounter(counter)) return 'failed';
    const floor = floors.get(client);
    if (floor !== undefined && counter <= floor) return 'replayed';
    floors.set(client, counter);
    return 'claimed';
  };

  return {
    name: 'memory',
    durable: false,
    open() {
      isOpen = true;
      return Promise.resolve();
    },
    claim: (client, counter) => Promise.resolve(claim(client, counter)),
    floor: (client) => floors.get(client) ?? null,
    close() {
      isOpen = false;
      return Promise.resolve();
    },
  };
}
