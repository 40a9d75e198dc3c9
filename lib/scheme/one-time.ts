// The hashed one-time sequence (protocols/one-time.md): ports derived from a keyed hash and the time; over udp each
// knock carries a keyed tag, over tcp the ports alone count. Here: which client a packet belongs to.
// That a sequence works only once is the replay store's business: the step is the counter to claim.

import { printable } from '../errors.ts';
import { UDP, type PacketView } from '../packet/view.ts';
import { completeKey, STEPS_AROUND, type OneTimeKey } from './one-time-key.ts';
import { taggedKnocks } from './one-time-udp.ts';
import { portKnocks } from './one-time-tcp.ts';
import type { Observer } from './remark.ts';
import type { CaptureNeed, Match, Scheme } from './scheme.ts';
import { requireTimeout } from './timeout.ts';

/** A client of the one-time scheme. */
export interface OneTimeClient extends OneTimeKey {
  /** From the first knock to the last, milliseconds; 10,000 unless said. */
  readonly timeoutMs?: number;
}

/** A client with every default filled in. */
export interface CompleteClient extends Required<OneTimeKey> {
  readonly name: string;
  readonly timeoutMs: number;
}

/** Recognises the knocks of one carrier. */
export interface KnockMatcher {
  match(packet: PacketView): Match | null;
  observe(observer: Observer): void;
}

/**
 * The one-time scheme.
 *
 * @throws TypeError, RangeError for a key outside its bounds, or one that two clients share
 * @example
 * ```ts
 * const scheme = oneTime({ clients: { field: { secret: randomBytes(32) } } });
 * ```
 */
export function oneTime(options: { readonly clients: Readonly<Record<string, OneTimeClient>> }): Scheme {
  const clients = Object.entries(options.clients).map(([name, entry]): CompleteClient => {
    const { timeoutMs = 10_000 } = entry;
    requireTimeout(`timeoutMs of ${printable(name)}`, timeoutMs);
    return { ...completeKey(entry), name, timeoutMs };
  });
  requireDifferentSecrets(clients);
  const udp = taggedKnocks(clients.filter(({ carrier }) => carrier === 'udp'));
  const tcp = portKnocks(clients.filter(({ carrier }) => carrier === 'tcp'));
  return {
    name: 'one-time',
    needs: needsOf(clients),
    clients: clients.map(({ name }) => name),
    validityMs: Math.max(0, ...clients.map(({ stepSeconds }) => (2 * STEPS_AROUND + 1) * stepSeconds * 1000)),
    replayable: false,
    match: (packet) => (packet.protocol === UDP ? udp.match(packet) : tcp.match(packet)),
    observe(observer) {
      udp.observe(observer);
      tcp.observe(observer);
    },
  };
}

/** One client could act as another, and of two with the same tags only the first would ever be heard. */
function requireDifferentSecrets(clients: readonly CompleteClient[]): void {
  const owners = new Map<string, string>();
  for (const { name, secret } of clients) {
    const text = Buffer.from(secret).toString('latin1');
    const owner = owners.get(text);
    if (owner !== undefined) {
      throw new TypeError(`secret of ${printable(name)} must not be that of ${printable(owner)}`);
    }
    owners.set(text, name);
  }
}

function needsOf(clients: readonly CompleteClient[]): CaptureNeed[] {
  return clients.map(({ carrier, ports }) =>
    carrier === 'udp' ? { protocol: 'udp', ports, payloadLength: 16 } : { protocol: 'tcp-syn', ports },
  );
}
