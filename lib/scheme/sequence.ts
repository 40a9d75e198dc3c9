// Plain port sequences (protocols/knockd.md, top): the classic idea, for the clients that have nothing better.
// Any SYN or UDP packet of a source that is not its next knock starts it over, so a sweep of all ports never
// contains a sequence. A recorded plain sequence works again: that is what one-time and spa are for.

import { printable } from '../errors.ts';
import { ACK, FIN, RST, SYN, TCP, UDP, type PacketView } from '../packet/view.ts';
import { Doors, knockKey, type Door } from './doors.ts';
import type { Scheme } from './scheme.ts';

/** One knock of a plain sequence. */
export interface KnockPort {
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
}

/** A client's sequence. */
export interface SequenceClient {
  /** 2 to 32 knocks, as `7000/tcp`, `9000/udp`, `7000` (tcp), or objects. */
  readonly sequence: readonly (string | KnockPort)[];
  /** From the first knock to the last, milliseconds; 10,000 unless said. */
  readonly timeoutMs?: number;
}

/**
 * The plain sequence scheme.
 *
 * @throws TypeError, RangeError for a sequence that cannot be used; the message says why
 */
export function sequence(options: { readonly clients: Readonly<Record<string, SequenceClient>> }): Scheme {
  const doors = new Doors();
  for (const [client, entry] of Object.entries(options.clients)) doors.add(doorOf(client, entry));
  return {
    name: 'sequence',
    // All of them, not only the ports of some sequence: a scan is recognised by the ports in between.
    needs: [
      { protocol: 'tcp-syn', ports: [1, 65535] },
      { protocol: 'udp', ports: [1, 65535] },
    ],
    clients: Object.keys(options.clients),
    validityMs: 0,
    replayable: true,
    match: (packet) => (packet.protocol === TCP && !isSyn(packet) ? null : doors.match(packet)),
  };
}

/** Parses `7000/tcp`, `9000/udp` or `7000` (tcp); `null` for anything else. */
export function parseKnockPort(text: string): KnockPort | null {
  const parts = /^(\d{1,5})(?:\/(tcp|udp))?$/u.exec(text);
  const port = Number(parts?.[1] ?? 0);
  if (parts === null || port < 1 || port > 65535) return null;
  return { port, protocol: parts[2] === 'udp' ? 'udp' : 'tcp' };
}

/**
 * What is wrong with a sequence: an `error` when a port scan in order contains it, a `warning` when its ports
 * only rise or only fall. `null`: nothing.
 */
export function sequenceProblem(
  ports: readonly KnockPort[],
): { readonly level: 'error' | 'warning'; readonly message: string } | null {
  if (ports.length < 2 || ports.length > 32) {
    return { level: 'error', message: `a sequence has 2 to 32 knocks, got ${ports.length}` };
  }
  const steps = ports.slice(1).map((knock, i) => knock.port - (ports[i]?.port ?? 0));
  if (steps.every((step) => step === 1) || steps.every((step) => step === -1)) {
    return { level: 'error', message: 'a port scan in order opens a sequence of neighbouring ports' };
  }
  if (steps.every((step) => step > 0) || steps.every((step) => step < 0)) {
    return { level: 'warning', message: 'the ports of the sequence only rise or only fall' };
  }
  return null;
}

/** How many bits an outsider has to guess, if ports and protocols were drawn at random. */
export function sequenceBits(ports: readonly KnockPort[]): number {
  return Math.floor(ports.length * Math.log2(2 * 65535));
}

/** A connection attempt's first packet: SYN, and none of ACK, RST, FIN. */
export function isSyn(packet: PacketView): boolean {
  return (packet.flags & (SYN | ACK | RST | FIN)) === SYN;
}

function doorOf(client: string, entry: SequenceClient): Door {
  const ports = entry.sequence.map((knock) => {
    if (typeof knock !== 'string') return knock;
    const port = parseKnockPort(knock);
    if (port === null) {
      throw new TypeError(
        `sequence of ${printable(client)} must hold PORT/tcp or PORT/udp, got '${printable(knock)}'`,
      );
    }
    return port;
  });
  const problem = sequenceProblem(ports);
  if (problem?.level === 'error') throw new RangeError(`sequence of ${client}: ${problem.message}`);
  return {
    keys: ports.map(({ port, protocol }) => knockKey(protocol === 'udp' ? UDP : TCP, port)),
    timeoutMs: entry.timeoutMs ?? 10_000,
    request: { kind: 'request', client, services: null, counter: null },
    scope: [1, 65535],
  };
}
