// Replay state that lives as long as its object: for tests, and for listeners that open nothing real. After a restart of
// the process it knows nothing, and unlike a durable store it does not refuse a window's worth of knocks then.

import { isCounter } from './log.ts';
import { OnceClaims, onceKey } from './once.ts';
import type { ClaimResult, ReplayStore } from './store.ts';

/**
 * A replay store in memory: `durable` is false, and a knock recorded before a restart works once more after it for as
 * long as it is valid. Use {@link fileReplay} with a driver that opens real ports.
 */
export function memoryReplay(): ReplayStore {
  const floors = new Map<string, bigint>();
  let once: OnceClaims | null = null;
  let ends = new Map<string, number>();

  const claim = (client: string, counter: bigint): ClaimResult => {
    if (once === null || !isCounter(counter)) return 'failed';
    const floor = floors.get(client);
    if (floor !== undefined && counter <= floor) return 'replayed';
    floors.set(client, counter);
    return 'claimed';
  };

  const claimOnce = (client: string, id: string, untilMs: number): ClaimResult => {
    const key = onceKey(client, id);
    if (once?.has(key) === true || once?.mayBeForgotten(untilMs) === true) return 'replayed';
    return once?.add(key, { client, untilMs }) === true ? 'claimed' : 'failed';
  };

  return {
    name: 'memory',
    durable: false,
    open({ clock, windowMs }) {
      once ??= new OnceClaims(clock, windowMs, ends);
      return Promise.resolve();
    },
    claim: (client, counter) => Promise.resolve(claim(client, counter)),
    claimOnce: (client, id, untilMs) => Promise.resolve(claimOnce(client, id, untilMs)),
    wasClaimed: (client, id) => once?.has(onceKey(client, id)) ?? false,
    floor: (client) => floors.get(client) ?? null,
    close() {
      ends = once?.ends() ?? ends;
      once?.close();
      once = null;
      return Promise.resolve();
    },
  };
}
