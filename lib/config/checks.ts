// What concerns several keys of a configuration at once: names that must exist, ports that must differ, a packet
// source that must see the knocks, and how strong each sequence is.

import { familyOf } from '../firewall/forward.ts';
import { oneTimeBits } from '../scheme/one-time-key.ts';
import { sequenceBits, sequenceProblem, sequencesProblem, type KnockPort } from '../scheme/sequence.ts';
import { printable } from '../errors.ts';
import type { ClientConfig, GatewayConfig, ServiceConfig, Settings, SocketAddress } from './schema.ts';
import type { Section } from './section.ts';
import { didYouMean } from './similar.ts';

/** Below this many bits a sequence gets a warning (protocols/one-time.md). */
const WEAK_BITS = 60;

/** Two services on one port cannot be told apart. */
export function checkServices(services: ReadonlyMap<string, readonly [ServiceConfig, Section]>): void {
  const taken = new Map<string, string>();
  for (const [name, [{ port, protocol }, section]] of services) {
    const place = `${port}/${protocol}`;
    const other = taken.get(place);
    if (port === 0) continue;
    if (other !== undefined)
      section.error('port', `port ${place} is that of service ${other} (give each its own)`);
    taken.set(place, name);
  }
}

/** Where packets come from: exactly one of `interface` and `socket`. */
export function checkSource(root: Section, settings: Settings | null): GatewayConfig['source'] | null {
  const captures = root.has('interface');
  if (captures && root.has('socket')) {
    root.error(
      'socket',
      'interface and socket are both given (keep interface to capture, socket to do without)',
    );
  }
  if (!captures && !root.has('socket')) {
    root.error(
      null,
      'interface is missing (add interface: eth0, or any; or socket: 40000-40015 without pcap)',
    );
  }
  if (settings?.interface !== undefined) return { kind: 'interface', name: settings.interface };
  return settings?.socket === undefined ? null : { kind: 'socket', ...settings.socket };
}

/** Every service of a client must be one of `known`, those with problems of their own included. */
export function checkNames(section: Section, names: readonly unknown[], known: readonly string[]): void {
  for (const [index, name] of names.entries()) {
    const problem = typeof name === 'string' ? unknownService(name, known) : null;
    if (problem !== null) section.error('services', problem, index);
  }
}

/** What is to be said of a name that is none of the `known` services; `null` when it is one. */
export function unknownService(name: string, known: readonly string[]): string | null {
  if (known.includes(name)) return null;
  const advice = didYouMean(name, known) ?? `known: ${known.map((each) => printable(each, 60)).join(', ')}`;
  return `service is not known: ${printable(name, 60)} (${advice})`;
}

/** How strong a client's knocks are, and what is to be said about them. */
export function checkStrength(section: Section, client: ClientConfig): void {
  if (client.scheme === 'spa' || client.scheme === 'fwknop' || client.scheme === 'sequence-list') return;
  if (client.scheme === 'sequence') {
    const problem = sequenceProblem(client.sequence);
    if (problem?.level === 'error') section.error('sequence', `${problem.message} (mix the ports)`);
    if (problem?.level === 'warning') section.warning('sequence', `${problem.message} (mix them)`);
  } else if (client.key.digest === 'md5') {
    section.warning('digest', 'digest md5 is for devices that have nothing else (use sha256)');
  }
  if (client.bits >= WEAK_BITS) return;
  const [key, advice] =
    client.scheme === 'sequence'
      ? ['sequence', 'use more knocks, or one-time']
      : ['knocks', 'use more knocks or ports'];
  section.warning(key, `sequence has ${client.bits} bits, less than ${WEAK_BITS} (${advice})`);
}

/** A knock that names no service opens all of its client's, so that it has to get to each of them. */
export function checkReach(
  section: Section,
  client: ClientConfig,
  services: GatewayConfig['services'],
): void {
  if (client.scheme !== 'one-time' && client.scheme !== 'sequence') return;
  const at = (family: 4 | 6): string | undefined =>
    client.services.find((name) => familyOf(services[name] ?? {}) === family);
  const [four, six] = [at(4), at(6)];
  if (four === undefined || six === undefined) return;
  section.error(
    'services',
    `services ${four} and ${six} are where only IPv4 and only IPv6 get, so that no knock opens both (make a client for each)`,
  );
}

/** Sequences that are good each by itself may still be in each other's way. */
export function checkTogether(
  section: Section,
  client: { readonly name: string; readonly sequence: readonly KnockPort[] },
  earlier: Map<string, readonly KnockPort[]>,
): void {
  earlier.set(client.name, client.sequence);
  const problem = sequencesProblem(earlier);
  if (problem === null) return;
  earlier.delete(client.name);
  section.error('sequence', `sequence: ${problem.message} (change the last knocks, or the first)`);
}

/** What an outsider has to guess. */
export function bitsOf(
  client: { scheme: 'sequence'; sequence: readonly KnockPort[] } | Parameters<typeof oneTimeBits>[0],
): number {
  return 'scheme' in client ? sequenceBits(client.sequence) : oneTimeBits(client);
}

/** A bound socket sees UDP on its own ports and nothing else. SPA's and fwknop's knocks come to one port for all. */
export function checkSocketSees(
  section: Section,
  client: ClientConfig,
  [low, high]: SocketAddress['ports'],
): void {
  if (client.scheme === 'spa' || client.scheme === 'fwknop') return;
  const bound = low === high ? `${low}` : `${low}-${high}`;
  if (client.scheme === 'one-time') {
    const [first, last] = client.key.ports;
    if (client.key.carrier === 'tcp')
      section.error('carrier', 'carrier tcp is not seen by a socket (use udp, or interface)');
    else if (first < low || last > high) {
      section.error(
        'ports',
        `ports ${first}-${last} are not all within socket ${bound} (write ports: ${bound})`,
      );
    }
    return;
  }
  if (client.scheme === 'sequence-list') {
    section.error('scheme', `scheme sequence-list is not for socket ${bound} (use interface)`);
    return;
  }
  for (const [index, { port, protocol }] of client.sequence.entries()) {
    const seen = protocol === 'udp' && port >= low && port <= high;
    if (!seen)
      section.error('sequence', `${port}/${protocol} is not seen by socket ${bound} (use interface)`, index);
  }
}

/** The one port of single-packet knocks must be among the bound ones. */
export function checkKnockPort(
  root: Section,
  settings: Settings | null,
  source: GatewayConfig['source'] | null,
  whose: 'SPA' | 'fwknop',
): void {
  if (settings === null || source?.kind !== 'socket') return;
  const { knock_port: port } = settings;
  const [low, high] = source.ports;
  if (port >= low && port <= high) return;
  const key = root.has('knock_port') ? 'knock_port' : 'socket';
  const bound = low === high ? `${low}` : `${low}-${high}`;
  root.error(
    key,
    `knock_port ${port} is not within socket ${bound}: ${whose} knocks come there (write knock_port: ${low})`,
  );
}
