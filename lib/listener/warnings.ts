// What an operator should know about a listener's parts before it starts.

import type { FirewallDriver } from '../firewall/driver.ts';
import type { ReplayStore } from '../replay/store.ts';
import type { Scheme } from '../scheme/scheme.ts';

export function startWarnings(parts: {
  readonly driver: FirewallDriver;
  readonly replay: ReplayStore;
  readonly schemes: readonly Scheme[];
}): readonly string[] {
  const forgets =
    'replay state is only in memory: a knock recorded before a restart works again after it (use fileReplay)';
  return [
    ...(parts.driver.real && !parts.replay.durable ? [forgets] : []),
    ...parts.schemes
      .filter(({ replayable }) => replayable)
      .map(
        ({ name }) =>
          `scheme ${name} has no replay protection: whoever records a knock can repeat it (use one-time)`,
      ),
  ];
}
