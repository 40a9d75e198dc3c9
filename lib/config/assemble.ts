// The composition root: the one place that names concrete sources, drivers and stores.

import { join } from 'node:path';
import { liveCapture } from '../capture/live.ts';
import { udpSocket } from '../capture/socket.ts';
import type { PacketSource } from '../capture/source.ts';
import type { FirewallDriver } from '../firewall/driver.ts';
import { iptables } from '../firewall/iptables.ts';
import { mock } from '../firewall/mock.ts';
import { systemClock } from '../clock.ts';
import { KnockListener } from '../listener/listener.ts';
import { createReplayFile, fileReplay } from '../replay/file.ts';
import { memoryReplay } from '../replay/memory.ts';
import type { ReplayStore } from '../replay/store.ts';
import { oneTime } from '../scheme/one-time.ts';
import type { Scheme } from '../scheme/scheme.ts';
import { sequence } from '../scheme/sequence.ts';
import type { GatewayConfig } from './schema.ts';

/** The parts of a gateway, put together and not yet started. */
export interface Assembly {
  readonly listener: KnockListener;
  readonly driver: FirewallDriver;
  readonly source: PacketSource;
  readonly schemes: readonly Scheme[];
  readonly replay: ReplayStore;
}

/** The file of the replay state within `state_dir`. */
export function replayFile(stateDir: string): string {
  return join(stateDir, 'replay');
}

/** Makes the replay state of a gateway that has never accepted a knock. @throws KnockError `ERR_REPLAY_WRITE` */
export function createReplay(path: string): Promise<void> {
  return createReplayFile(path);
}

/**
 * Puts a gateway together; touches nothing. `dryRun`: the mock driver and replay state in memory, so that a trial
 * neither opens a port nor uses up a knock.
 */
export function assemble(
  config: GatewayConfig,
  { dryRun = false }: { readonly dryRun?: boolean } = {},
): Assembly {
  const source = sourceOf(config);
  const schemes = schemesOf(config);
  const driver = dryRun ? mock({ clock: systemClock }) : driverOf(config);
  const replay = dryRun ? memoryReplay() : fileReplay(replayFile(config.stateDir));
  const { services, clients, openForMs, connections } = config;
  const listener = new KnockListener({
    source,
    schemes,
    driver,
    replay,
    services,
    openForMs,
    connections,
    clients: clients.map(({ name, services: allowed }) => ({ name, services: allowed })),
  });
  return { listener, driver, source, schemes, replay };
}

function sourceOf({ source }: GatewayConfig): PacketSource {
  if (source.kind === 'interface') return liveCapture({ interface: source.name });
  const { ports, address } = source;
  return udpSocket(address === null ? { port: ports } : { port: ports, address });
}

function driverOf({ firewall, firewallBackend, protect }: GatewayConfig): FirewallDriver {
  switch (firewall) {
    case 'iptables':
      return iptables({ backend: firewallBackend, protect });
    case 'mock':
      return mock({ clock: systemClock });
  }
}

/** Only schemes with clients: each adds to what must be captured. */
function schemesOf({ clients }: GatewayConfig): readonly Scheme[] {
  const hashed = clients.filter((client) => client.scheme === 'one-time');
  const plain = clients.filter((client) => client.scheme === 'sequence');
  const schemes: Scheme[] = [];
  if (hashed.length > 0) {
    schemes.push(oneTime({ clients: Object.fromEntries(hashed.map(({ name, key }) => [name, key])) }));
  }
  if (plain.length > 0)
    schemes.push(sequence({ clients: Object.fromEntries(plain.map((client) => [client.name, client])) }));
  return schemes;
}
