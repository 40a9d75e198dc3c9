// Plain port sequences (protocols/knockd.md, top): the classic idea, for the clients that have nothing better.
// Any SYN or UDP packet of a source that is not its next knock starts it over, so a sweep of all ports never
// contains a sequence. A recorded plain sequence works again: that is what one-time and spa are for.

import { printable } from '../errors.ts';
import { ACK, FIN, RST, SYN, TCP, UDP, type PacketView } from '../packet/view.ts';
import { Doors, knockKey, type Door } from './doors.ts';
import type { CaptureNeed, KnockRequest, Scheme } from './scheme.ts';
import { requireTimeout } from './timeout.ts';

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
  /** The only family that it opens for; both unless said. */
  readonly family?: 4 | 6 | undefined;
}

/** All of them, not only the ports of some sequence: a scan is recognised by the ports in between. */
export const ALL_PORTS: readonly CaptureNeed[] = [
  { protocol: 'tcp-syn', ports: [1, 65535] },
  { protocol: 'udp', ports: [1, 65535] },
];

/**
 * The plain sequence scheme.
 *
 * @throws TypeError, RangeError for a sequence that cannot be used; the message says why
 */
export function sequence(options: { readonly clients: Readonly<Record<string, SequenceClient>> }): Scheme {
  const doors = new Doors();
  const sequences = new Map<string, readonly KnockPort[]>();
  for (const [client, entry] of Object.entries(options.clients)) {
    const ports = requireSequence(client, entry.sequence);
    const { timeoutMs = 10_000, family } = entry;
    requireTimeout(`timeoutMs of ${printable(client)}`, timeoutMs);
    sequences.set(client, ports);
    doors.add(
      doorOf(ports, {
        timeoutMs,
        family,
        request: { kind: 'request', client, services: null, counter: null },
      }),
    );
  }
  const clash = sequencesProblem(sequences);
  if (clash !== null) throw new RangeError(`sequence of ${printable(clash.client)}: ${clash.message}`);
  return {
    name: 'sequence',
    needs: ALL_PORTS,
    clients: Object.keys(options.clients),
    validityMs: 0,
    replayable: true,
    match: (packet) => (packet.protocol === TCP && !isSyn(packet) ? null : doors.match(packet)),
    observe(observer) {
      doors.observe(observer);
    },
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
  const isOneProtocol = ports.every(({ protocol }) => protocol === ports[0]?.protocol);
  // A scanner tries each port more than once, so the same port again does not help.
  const climbs = steps.every((step) => step === 0 || step === 1);
  if (isOneProtocol && (climbs || steps.every((step) => step === 0 || step === -1))) {
    return { level: 'error', message: 'a port scan in order opens a sequence of neighbouring ports' };
  }
  if (steps.every((step) => step >= 0) || steps.every((step) => step <= 0)) {
    return { level: 'warning', message: 'the ports of the sequence only rise or only fall' };
  }
  return null;
}

/** Sequences that begin with the same knock, at most: each is an attempt of its own in a bounded table. */
const MOST_ALIKE = 16;

/**
 * What is wrong with sequences that are good each by itself: one packet must not be the last knock of two of them,
 * or else one of the two never opens. Names the client to complain about; `null`: nothing.
 */
export function sequencesProblem(
  sequences: ReadonlyMap<string, readonly KnockPort[]>,
): { readonly client: string; readonly message: string } | null {
  const seen: { readonly client: string; readonly text: string }[] = [];
  for (const [client, ports] of sequences) {
    const first = knockText(ports[0] ?? { port: 0, protocol: 'tcp' });
    const text = ports.map((knock) => ` ${knockText(knock)}`).join('');
    const other = seen.find((each) => text.endsWith(each.text) || each.text.endsWith(text));
    if (other !== undefined) {
      return {
        client,
        message: `it ends as that of ${printable(other.client)} does, one whole in the other`,
      };
    }
    if (seen.filter((each) => each.text.startsWith(` ${first} `)).length === MOST_ALIKE) {
      return { client, message: `${MOST_ALIKE} others begin with ${first} already, the most there may be` };
    }
    seen.push({ client, text });
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

/** The knocks of a client's sequence. @throws TypeError, RangeError for a sequence that cannot be used */
export function requireSequence(client: string, knocks: SequenceClient['sequence']): readonly KnockPort[] {
  const name = printable(client);
  const ports = knocks.map((knock) => {
    const text = typeof knock === 'string' ? knock : knockText(knock);
    const port = parseKnockPort(text);
    if (port === null)
      throw new TypeError(`sequence of ${name} must hold PORT/tcp or PORT/udp, got '${printable(text)}'`);
    return port;
  });
  const problem = sequenceProblem(ports);
  if (problem?.level === 'error') throw new RangeError(`sequence of ${name}: ${problem.message}`);
  return ports;
}

/** A door that any SYN or datagram counts for. */
export function doorOf(
  ports: readonly KnockPort[],
  {
    timeoutMs,
    family,
    request,
  }: { readonly timeoutMs: number; readonly family: 4 | 6 | undefined; readonly request: KnockRequest },
): Door {
  return {
    keys: ports.map(({ port, protocol }) => knockKey(protocol === 'udp' ? UDP : TCP, port)),
    timeoutMs,
    request,
    scope: [1, 65535],
    ...(family === undefined ? {} : { family }),
  };
}

/** `7000/tcp`. */
export function knockText({ port, protocol }: KnockPort): string {
  return `${port}/${protocol}`;
}
