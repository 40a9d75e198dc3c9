// What became of each source: counts, and sequences that were begun and not completed. A capture can hold any number of
// forged sources, so the list is bounded; whoever had something opened is on it all the same.

import type { MissReason } from '../scheme/remark.ts';
import type { RejectReason } from '../scheme/scheme.ts';
import type { ExplainedPacket, ExplainedSource, Unfinished } from './explanation.ts';

const MOST_SOURCES = 10_000;
const MOST_KNOWN = 2 * MOST_SOURCES;

type Attempt = Pick<Unfinished, 'seen' | 'knocks' | 'end'>;

interface Attempts {
  failed: number;
  last: Attempt | null;
  current: Attempt | null;
}

interface Entry {
  readonly clients: Set<string>;
  readonly attempts: Map<string, Attempts>;
  readonly refused: Partial<Record<RejectReason, number>>;
  readonly missed: Partial<Record<MissReason, number>>;
  opened: number;
  closed: number;
  duplicates: number;
}

/** Counts by source. */
export class Tally {
  readonly #sources = new Map<string, Entry>();
  #unlisted = 0;

  /** Packets of sources that were too many. */
  get unlisted(): number {
    return this.#unlisted;
  }

  note(packet: ExplainedPacket): void {
    const entry = this.#entryOf(packet);
    if (entry === null) {
      this.#unlisted += 1;
      return;
    }
    if (packet.client !== undefined) entry.clients.add(packet.client);
    count(entry, packet);
    follow(entry, packet);
  }

  /** In the order in which they first came. */
  get sources(): readonly ExplainedSource[] {
    return [...this.#sources].map(([source, { clients, attempts, ...counts }]) => ({
      ...{ source, clients: [...clients], ...counts },
      unfinished: [...attempts].flatMap(([client, one]) => unfinished(client, one)),
    }));
  }

  #entryOf({ source, verdict }: ExplainedPacket): Entry | null {
    const known = this.#sources.get(source);
    if (known !== undefined) return known;
    if (this.#sources.size >= (verdict === 'opened' ? MOST_KNOWN : MOST_SOURCES)) return null;
    const entry: Entry = {
      ...{ clients: new Set(), attempts: new Map(), refused: {}, missed: {} },
      ...{ opened: 0, closed: 0, duplicates: 0 },
    };
    this.#sources.set(source, entry);
    return entry;
  }
}

function count(entry: Entry, { verdict, reason }: ExplainedPacket): void {
  switch (verdict) {
    case 'opened':
    case 'closed':
      entry[verdict] += 1;
      return;
    case 'duplicate':
      entry.duplicates += 1;
      return;
    case 'refused': {
      const refused = reason as RejectReason;
      entry.refused[refused] = (entry.refused[refused] ?? 0) + 1;
      return;
    }
    case 'missed': {
      const missed = reason as MissReason;
      entry.missed[missed] = (entry.missed[missed] ?? 0) + 1;
      return;
    }
    case 'counted':
    case 'repeated':
    case 'late':
    case 'broken':
      // Of a sequence that is not complete: see follow().
      return;
  }
}

/** How far the client's sequence has come. */
function follow(
  { attempts }: Entry,
  { verdict, reason, client, knock, knocks, seen }: ExplainedPacket,
): void {
  if (client === undefined) return;
  const before = attempts.get(client);
  if (knocks === undefined || seen === undefined) {
    if (before !== undefined && isWhole(verdict, reason)) before.current = null;
    return;
  }
  const one = before ?? { failed: 0, last: null, current: null };
  attempts.set(client, one);
  if (verdict === 'counted') {
    if (seen.length === 1) giveUp(one);
    one.current = { seen, knocks, end: 'open' };
  } else if (verdict === 'late' || verdict === 'broken') {
    const came = knock === undefined || knock === null ? seen : [...seen, knock];
    one.current = { seen: verdict === 'broken' ? came : seen, knocks, end: verdict };
    giveUp(one);
  }
}

/** Whether the packet completed a sequence, whatever became of it. */
function isWhole(verdict: ExplainedPacket['verdict'], reason: ExplainedPacket['reason']): boolean {
  if (verdict === 'refused') return reason !== 'wrong-port' && reason !== 'attempt-table-full';
  return verdict === 'opened';
}

function giveUp(one: Attempts): void {
  if (one.current === null) return;
  one.failed += 1;
  one.last = one.current;
  one.current = null;
}

function unfinished(client: string, { failed, last, current }: Attempts): Unfinished[] {
  const attempts = failed + (current === null ? 0 : 1);
  const shown = current ?? last;
  return shown === null ? [] : [{ client, attempts, ...shown }];
}
