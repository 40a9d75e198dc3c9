// What of a configuration cannot change while the gateway runs: where it listens, what it keeps, what it opens.

import { isDeepStrictEqual } from 'node:util';
import { KnockError } from '../errors.ts';
import type { GatewayConfig } from './schema.ts';

const FIXED: readonly (readonly [key: string, of: (config: GatewayConfig) => unknown])[] = [
  ['state_dir', ({ stateDir }) => stateDir],
  ['user', ({ user }) => user],
  ['firewall', ({ firewall }) => firewall],
  ['firewall_backend', ({ firewallBackend }) => firewallBackend],
  ['protect', ({ protect }) => protect],
  ['metrics', ({ metrics }) => metrics],
  [
    'commands of services',
    ({ services }) =>
      Object.entries(services).flatMap(([name, { commands }]) =>
        commands === undefined ? [] : [[name, commands]],
      ),
  ],
];

/** @throws KnockError `ERR_CONFIG`, one line for each thing that cannot change */
export function requireReloadable(from: GatewayConfig, to: GatewayConfig): void {
  const place = from.source.kind;
  const lines = [[place, ({ source }: GatewayConfig) => source] as const, ...FIXED]
    .filter(([, of]) => !isDeepStrictEqual(of(from), of(to)))
    .map(([key]) => `${key} cannot change while portknockd runs (restart it)`);
  if (lines.length > 0) throw new KnockError('ERR_CONFIG', lines.join('\n'));
}
