// Sequences from a list, each good once (knockd's one_time_sequences; protocols/knockd.md, section 1.2). Only the next
// one of the list opens. Which that is, is what the replay store says: each sequence has an account of its own, so
// that a list can be changed, and what was used stays used wherever it stands.

import { printable } from '../errors.ts';
import { TCP, type PacketView } from '../packet/view.ts';
import { Doors } from './doors.ts';
import type { KnockHistory, KnockRequest, Match, Scheme } from './scheme.ts';
import {
  ALL_PORTS,
  doorOf,
  isSyn,
  knockText,
  requireSequence,
  type KnockPort,
  type SequenceClient,
} from './sequence.ts';
import { requireTimeout } from './timeout.ts';

/** A client with a list of sequences. */
export interface SequenceListClient extends Pick<SequenceClient, 'timeoutMs' | 'family'> {
  /** Each as {@link SequenceClient}'s; no two alike. */
  readonly sequences: readonly SequenceClient['sequence'][];
}

/** What claims a sequence: it is used or it is not. */
const USED = 1n;
/**
 * The next sequence, and the one after it: when that one comes, its predecessor may have been claimed without our being
 * told.
 */
const READY = 2;

/**
 * The scheme of one-time sequences.
 *
 * @throws TypeError, RangeError for a sequence that cannot be used; the message says why
 */
export function sequenceList(options: {
  readonly clients: Readonly<Record<string, SequenceListClient>>;
}): Scheme {
  const doors = new Doors();
  const lists = Object.entries(options.clients).map(([name, client]) => new List(name, client, doors));
  const places = new Map<Match, readonly [list: List, index: number]>();
  for (const list of lists) list.requests.forEach((request, index) => places.set(request, [list, index]));
  requireApart(lists);
  let settled = false;
  return {
    name: 'sequence-list',
    needs: ALL_PORTS,
    clients: lists.map(({ name }) => name),
    validityMs: 0,
    replayable: false,
    match(packet: PacketView, history: KnockHistory): Match | null {
      if (packet.protocol === TCP && !isSyn(packet)) return null;
      if (!settled) for (const list of lists) list.settle(history);
      settled = true;
      const complete = doors.match(packet);
      const place = complete === null ? undefined : places.get(complete);
      return place === undefined ? null : place[0].taken(place[1], history);
    },
  };
}

/** The account of a client's sequence in the replay store. */
export function sequenceAccount(client: string, ports: readonly KnockPort[]): string {
  return `${client} ${ports.map(knockText).join(',')}`;
}

class List {
  readonly name: string;
  readonly sequences: readonly (readonly KnockPort[])[];
  readonly requests: readonly (KnockRequest & { readonly account: string })[];
  readonly #client: SequenceListClient;
  readonly #doors: Doors;
  /** Of those that are ready. */
  readonly #ids = new Map<number, number>();
  /** The first one that is not known to be used. */
  #next = 0;

  constructor(name: string, client: SequenceListClient, doors: Doors) {
    requireTimeout(`timeoutMs of ${printable(name)}`, client.timeoutMs ?? 10_000);
    this.name = name;
    this.sequences = client.sequences.map((sequence) => requireSequence(name, sequence));
    this.requests = this.sequences.map((ports) => ({
      kind: 'request',
      client: name,
      services: null,
      counter: USED,
      account: sequenceAccount(name, ports),
    }));
    this.#client = client;
    this.#doors = doors;
  }

  /** Passes over what was used, and makes ready what comes next. */
  settle(history: KnockHistory): void {
    for (; this.#next < this.requests.length; this.#next += 1) {
      if (history.floor(this.requests[this.#next]?.account ?? '') === null) break;
    }
    for (const [index, id] of this.#ids) {
      if (index >= this.#next) continue;
      this.#doors.remove(id);
      this.#ids.delete(index);
    }
    const { timeoutMs = 10_000, family } = this.#client;
    for (let index = this.#next; index < this.#next + READY; index += 1) {
      const [ports, request] = [this.sequences[index], this.requests[index]];
      if (ports === undefined || request === undefined || this.#ids.has(index)) continue;
      this.#ids.set(index, this.#doors.add(doorOf(ports, { timeoutMs, family, request })));
    }
  }

  /** What becomes of a sequence of which the last knock has come. */
  taken(index: number, history: KnockHistory): Match | null {
    this.settle(history);
    if (index < this.#next) return { kind: 'reject', reason: 'replayed', client: this.name };
    return index === this.#next ? (this.requests[index] ?? null) : null;
  }
}

/** One packet must not be the last knock of two sequences, or else one of the two never opens. */
function requireApart(lists: readonly List[]): void {
  const seen: string[] = [];
  for (const { name, sequences } of lists) {
    for (const ports of sequences) {
      const text = ports.map((knock) => ` ${knockText(knock)}`).join('');
      if (seen.some((other) => text.endsWith(other) || other.endsWith(text))) {
        throw new RangeError(`sequences of ${printable(name)}: another one ends as${text} does (change one)`);
      }
      seen.push(text);
    }
  }
}
