// How a gateway stands: what `portknock status` and `portknock grants` are told. Fed by the listener's events and counts; what
// it keeps is bounded, whoever knocks.

import type { CloseReason, CountsReading, Grant, KnockCounts, KnockListener, Reject } from '../lib/index.ts';

/** A grant as it is shown; fields as in the log. */
export interface GrantRow {
  readonly id: string;
  readonly client: string;
  readonly service: string;
  readonly protocol: 'tcp' | 'udp';
  readonly port: number;
  readonly source: string;
  /** Not of one that was open before the daemon started. */
  readonly scheme?: string;
  readonly opened?: string;
  readonly open_until: string;
  readonly connections: number | 'unlimited';
  readonly state: 'open' | CloseReason;
  /** When it ended. */
  readonly ended?: string;
}

/** A refused knock as it is shown. */
export interface RejectRow {
  readonly time: string;
  readonly reason: string;
  readonly scheme: string;
  readonly source: string;
  readonly client?: string;
  readonly count: number;
  readonly detail?: string;
}

/** What of a grant only its event knows. */
interface Begin {
  readonly scheme: string;
  readonly timeMs: number;
}

const MOST_ENDED = 100;
const ENDED_FOR_MS = 10 * 60_000;
const MOST_REJECTS = 50;

/** Keeps the account. */
export class Standing {
  readonly #listener: KnockListener;
  readonly #counts: KnockCounts;
  readonly #now: () => number;
  readonly #begun = new Map<string, Begin>();
  readonly #ended: { readonly row: GrantRow; readonly timeMs: number }[] = [];
  readonly #rejects: RejectRow[] = [];
  /** By reason and scheme: both are from bounded sets. */
  readonly #lastRejects = new Map<string, RejectRow>();

  constructor({
    listener,
    counts,
    now = Date.now,
  }: {
    readonly listener: KnockListener;
    readonly counts: KnockCounts;
    readonly now?: () => number;
  }) {
    this.#listener = listener;
    this.#counts = counts;
    this.#now = now;
    listener.on('grant', ({ grant, scheme }) => {
      this.#begun.set(grant.id, { scheme, timeMs: this.#now() });
    });
    listener.on('close', ({ grant, reason }) => {
      this.#end(grant, reason);
    });
    listener.on('reject', (reject) => {
      this.#reject(reject);
    });
  }

  /** What is open now, each made into a row when it is asked for: there may be very many. */
  *open(): Generator<GrantRow> {
    for (const grant of this.#listener.grants) yield this.#row(grant, 'open');
  }

  /** Grants that ended lately, the last one at the top. */
  ended(): readonly GrantRow[] {
    const since = this.#now() - ENDED_FOR_MS;
    return this.#ended.filter(({ timeMs }) => timeMs > since).map(({ row }) => row);
  }

  /** Counts since the start, and the last refused knocks, the last one at the top. */
  totals() {
    const { knocks, grants, closes, packets, dropped, errors } = this.#counts.read();
    const refused = knocks.filter(({ labels }) => labels.result !== 'accepted');
    return {
      knocks_accepted: sum(knocks) - sum(refused),
      knocks_refused: sum(refused),
      grants: sum(grants),
      closes: byLabel(closes, 'reason'),
      packets: byLabel(packets, 'outcome'),
      packets_dropped: dropped,
      errors: byLabel(errors, 'code'),
      rejects: refused.map((each) => this.#refused(each)).filter(({ count }) => count > 0),
      last_rejects: [...this.#rejects],
    };
  }

  #refused({ labels, count }: CountsReading['knocks'][number]) {
    const last = this.#lastRejects.get(`${labels.result} ${labels.scheme}`);
    return {
      ...{ reason: labels.result, scheme: labels.scheme, count },
      ...(last === undefined ? {} : { last: last.time, source: last.source }),
      ...(last?.client === undefined ? {} : { client: last.client }),
    };
  }

  #row(grant: Grant, state: GrantRow['state']): GrantRow {
    const { id, client, service, protocol, port, source, openUntil, connections } = grant;
    const begun = this.#begun.get(id);
    const row = {
      id,
      client,
      service,
      protocol,
      port,
      source,
      open_until: iso(openUntil),
      connections,
      state,
    };
    return begun === undefined ? row : { ...row, scheme: begun.scheme, opened: iso(begun.timeMs) };
  }

  #end(grant: Grant, reason: CloseReason): void {
    const timeMs = this.#now();
    this.#ended.unshift({ row: { ...this.#row(grant, reason), ended: iso(timeMs) }, timeMs });
    this.#ended.length = Math.min(this.#ended.length, MOST_ENDED);
    this.#begun.delete(grant.id);
  }

  #reject({ reason, scheme, source, client, count, detail }: Reject): void {
    const row = {
      ...{ time: iso(this.#now()), reason, scheme, source, count },
      ...(client === undefined ? {} : { client }),
      ...(detail === undefined ? {} : { detail }),
    };
    this.#lastRejects.set(`${reason} ${scheme}`, row);
    this.#rejects.unshift(row);
    this.#rejects.length = Math.min(this.#rejects.length, MOST_REJECTS);
  }
}

function byLabel<L extends string>(
  rows: readonly { readonly labels: Readonly<Record<L, string>>; readonly count: number }[],
  label: L,
): Readonly<Record<string, number>> {
  const sums: Record<string, number> = {};
  for (const { labels, count } of rows) sums[labels[label]] = (sums[labels[label]] ?? 0) + count;
  return sums;
}

function sum(rows: readonly { readonly count: number }[]): number {
  return rows.reduce((total, { count }) => total + count, 0);
}

function iso(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
