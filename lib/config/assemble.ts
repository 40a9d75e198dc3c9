// The composition root: the one place that names concrete sources, drivers and stores.

import { join } from 'node:path';
import { liveCaptureBy, startCapture } from '../capture/live.ts';
import { udpSocket } from '../capture/socket.ts';
import type { PacketSource } from '../capture/source.ts';
import { byService, type ServiceDriver } from '../firewall/by-service.ts';
import { command } from '../firewall/command.ts';
import type { FirewallDriver } from '../firewall/driver.ts';
import { formatTarget } from '../firewall/forward.ts';
import { iptables } from '../firewall/iptables.ts';
import { mock } from '../firewall/mock.ts';
import { nftables } from '../firewall/nftables.ts';
import { systemClock, type Clock } from '../clock.ts';
import { KnockListener } from '../listener/listener.ts';
import type { ReloadOptions } from '../listener/options.ts';
import type { Metrics } from '../metrics.ts';
import type { ClientAccess } from '../policy/access.ts';
import type { Through } from '../privilege/link.ts';
import { createReplayFile, fileReplay } from '../replay/file.ts';
import { memoryReplay } from '../replay/memory.ts';
import type { ReplayStore } from '../replay/store.ts';
import { fwknop } from '../scheme/fwknop.ts';
import { oneTime } from '../scheme/one-time.ts';
import type { Scheme } from '../scheme/scheme.ts';
import { sequence } from '../scheme/sequence.ts';
import { sequenceList } from '../scheme/sequence-list.ts';
import { spa } from '../scheme/spa.ts';
import { markingReplay } from './list-marks.ts';
import { requireReloadable } from './reload.ts';
import type { ClientConfig, GatewayConfig, ServiceCommands } from './schema.ts';

/** The parts of a gateway, put together and not yet started. */
export interface Assembly {
  readonly listener: KnockListener;
  readonly driver: FirewallDriver;
  readonly source: PacketSource;
  readonly schemes: readonly Scheme[];
  readonly replay: ReplayStore;
  /** What the listener goes by at first. */
  readonly rules: ReloadOptions;
  /**
   * Goes by another configuration from now on, without losing grants, replay state or a packet.
   *
   * @throws KnockError `ERR_CONFIG`, one line for each thing that cannot change while it runs; what
   *   `KnockListener.reload` throws. Nothing has changed then
   */
  reload(config: GatewayConfig): Promise<void>;
}

/** {@link assemble}'s options. */
export interface AssembleOptions {
  /** The mock driver and replay state in memory, so that a trial neither opens a port nor uses up a knock. */
  readonly dryRun?: boolean;
  /** Where packets come from, whatever the configuration says. */
  readonly source?: PacketSource;
  readonly clock?: Clock;
  readonly metrics?: Metrics;
  /**
   * Has done elsewhere what needs root.
   *
   * @internal
   */
  readonly through?: Through | undefined;
}

/** The file of the replay state within `state_dir`. */
export function replayFile(stateDir: string): string {
  return join(stateDir, 'replay');
}

/** The file of the record of open grants within `state_dir`. */
function grantsFile(stateDir: string): string {
  return join(stateDir, 'grants');
}

/** Makes the replay state of a gateway that has never accepted a knock. @throws KnockError `ERR_REPLAY_WRITE` */
export function createReplay(path: string): Promise<void> {
  return createReplayFile(path);
}

/** Puts a gateway together; touches nothing. */
export function assemble(config: GatewayConfig, options: AssembleOptions = {}): Assembly {
  const { dryRun = false, clock = systemClock, metrics, through } = options;
  const source = options.source ?? sourceOf(config, through);
  const own = dryRun ? mock({ clock }) : driversOf(config, clock);
  const driver = through?.driver(own) ?? own;
  let { clients } = config;
  const replay = dryRun
    ? memoryReplay()
    : markingReplay(fileReplay(replayFile(config.stateDir)), {
        clients: () => clients,
        markBy: through?.mark,
      });
  const rules = rulesOf(config);
  const listener = new KnockListener({
    ...{ source, driver, replay, clock, ...rules },
    ...(metrics === undefined ? {} : { metrics }),
    ...(dryRun ? {} : { journal: grantsFile(config.stateDir) }),
  });
  return {
    ...{ listener, driver, source, schemes: rules.schemes, replay, rules },
    async reload(next) {
      requireReloadable(config, next);
      await listener.reload(rulesOf(next));
      ({ clients } = next);
    },
  };
}

function rulesOf(config: GatewayConfig): ReloadOptions {
  const { services, clients, openForMs, connections } = config;
  return { schemes: schemesOf(config), services, openForMs, connections, clients: clients.map(accessOf) };
}

function accessOf(client: ClientConfig): ClientAccess {
  const { name, services, from, expiresAt } = client;
  return {
    ...{ name, services },
    ...(client.scheme === 'spa' ? { bind: client.bind, widestPrefix: client.widestPrefix } : {}),
    ...(from === undefined ? {} : { from }),
    ...(expiresAt === undefined ? {} : { expiresAt }),
  };
}

function sourceOf({ source }: GatewayConfig, through?: Through): PacketSource {
  const start = through?.startCapture ?? startCapture;
  if (source.kind === 'interface') return liveCaptureBy({ interface: source.name }, start);
  const { ports, address } = source;
  return udpSocket(address === null ? { port: ports } : { port: ports, address });
}

function driversOf(config: GatewayConfig, clock: Clock): FirewallDriver {
  const usual = driverOf(config, clock);
  const special = Object.entries(config.services).flatMap(([name, { commands }]) =>
    commands === undefined ? [] : [[name, commandsOf(commands, clock)] as const],
  );
  return special.length === 0 ? usual : byService(usual, Object.fromEntries(special));
}

function commandsOf({ open, close, open6, close6, timeoutMs }: ServiceCommands, clock: Clock): ServiceDriver {
  const driver = command({ open, close, timeoutMs, clock });
  if (open6 === null || close6 === null) return { driver };
  return { driver, driver6: command({ open: open6, close: close6, timeoutMs, clock }) };
}

function driverOf({ firewall, firewallBackend, protect }: GatewayConfig, clock: Clock): FirewallDriver {
  switch (firewall.driver) {
    case 'iptables':
      return iptables({ backend: firewallBackend, protect });
    case 'nftables':
      return nftables({
        protect,
        ...(firewall.chain === null ? {} : { chain: firewall.chain }),
        ...(firewall.forwardChain === null ? {} : { forwardChain: firewall.forwardChain }),
      });
    case 'command': {
      const { open, close, setup, teardown, timeoutMs } = firewall;
      return command({
        ...{ open, close, timeoutMs, clock },
        ...(setup === null ? {} : { setup }),
        ...(teardown === null ? {} : { teardown }),
      });
    }
    case 'mock':
      return mock({ clock });
  }
}

/** Only schemes with clients: each adds to what must be captured. */
function schemesOf(config: GatewayConfig): readonly Scheme[] {
  const { clients } = config;
  const hashed = clients.filter((client) => client.scheme === 'one-time');
  const plain = clients.filter((client) => client.scheme === 'sequence');
  const lists = clients.filter((client) => client.scheme === 'sequence-list');
  const schemes: Scheme[] = [...spaOf(config), ...fwknopOf(config)];
  if (hashed.length > 0) {
    schemes.push(oneTime({ clients: Object.fromEntries(hashed.map(({ name, key }) => [name, key])) }));
  }
  if (plain.length > 0)
    schemes.push(sequence({ clients: Object.fromEntries(plain.map((client) => [client.name, client])) }));
  if (lists.length > 0)
    schemes.push(sequenceList({ clients: Object.fromEntries(lists.map((client) => [client.name, client])) }));
  return schemes;
}

function spaOf({
  clients,
  gateway,
  accessKeys,
  knockPort: port,
  services,
}: GatewayConfig): readonly Scheme[] {
  const single = clients.filter((client) => client.scheme === 'spa');
  if (single.length === 0 || gateway === null) return [];
  const keys = Object.fromEntries(single.map(({ name, key }) => [name, key]));
  return [spa({ gateway, accessKeys, port, services: Object.keys(services), clients: keys })];
}

function fwknopOf({ clients, knockPort: port, services }: GatewayConfig): readonly Scheme[] {
  const theirs = clients.filter((client) => client.scheme === 'fwknop');
  if (theirs.length === 0) return [];
  const keys = Object.fromEntries(
    theirs.map(({ name, key, services: allowed }) => [name, { ...key, services: allowed }]),
  );
  const targets = Object.entries(services).map(([name, { protocol, port: own, to }]) => {
    return [name, { protocol, port: own, ...(to === undefined ? {} : { to: formatTarget(to) }) }] as const;
  });
  return [fwknop({ port, services: Object.fromEntries(targets), clients: keys })];
}
