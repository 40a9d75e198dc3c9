// A firewall on paper: it knows what would be open, and touches nothing.

import type { FirewallDriver, Opening } from '../firewall/driver.ts';
import { keyOf } from '../grant/request.ts';

/** A driver for what only would have been done. */
export function paperDriver(): FirewallDriver {
  const open = new Map<string, Opening>();
  return {
    name: 'paper',
    real: false,
    setup: () => Promise.resolve(),
    open(grant) {
      open.set(keyOf(grant), grant);
      return Promise.resolve();
    },
    close(grant) {
      open.delete(keyOf(grant));
      return Promise.resolve();
    },
    list: () => Promise.resolve([...open.values()]),
    teardown: () => Promise.resolve(),
  };
}
