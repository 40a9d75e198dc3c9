// Counts of a listener, kept as numbers in place: a flood is counted without allocating. Whoever shows them (the
// prom-client adapter, `portknock status`) reads them when asked. Labels come from bounded sets only: outcomes, reasons
// and codes are literals, schemes and services are configured.

import type { KnockErrorCode } from './errors.ts';
import type { Metrics, Watched } from './metrics.ts';
import type { RejectReason } from './scheme/scheme.ts';

/** A count, and what it is of. */
export interface Count<L extends string> {
  readonly labels: Readonly<Record<L, string>>;
  readonly count: number;
}

/** Everything that was counted since the start. */
export interface CountsReading {
  /** Unix milliseconds. */
  readonly sinceMs: number;
  readonly packets: readonly Count<'outcome'>[];
  readonly dropped: number;
  /** Accepted knocks have the result `accepted`, refused ones their reject reason. */
  readonly knocks: readonly Count<'scheme' | 'result'>[];
  readonly grants: readonly Count<'service' | 'scheme'>[];
  readonly closes: readonly Count<'service' | 'reason'>[];
  readonly errors: readonly Count<'code'>[];
  /** Open now. */
  readonly open: readonly Count<'service'>[];
}

// What is counted from the start, with a zero: Prometheus sees a count grow only when it has seen it before, and the first
// of its kind is often the only one.

const RESULTS: Readonly<Record<'accepted' | RejectReason, true>> = {
  accepted: true,
  ...{ 'bad-tag': true, malformed: true, audience: true, 'unknown-client': true, stale: true },
  ...{ future: true, 'bad-signature': true, 'too-many-checks': true, 'too-many-knocks': true },
  ...{ 'bind-refused': true, 'source-mismatch': true, 'prefix-too-wide': true, 'client-expired': true },
  ...{ 'wrong-port': true, 'gpg-packet': true, 'hmac-mismatch': true, 'decrypt-failed': true },
  ...{ 'digest-mismatch': true, 'command-refused': true, 'nat-refused': true, 'port-refused': true },
  ...{ 'attempt-table-full': true, replayed: true, 'replay-window': true, 'replay-failed': true },
  ...{ 'source-refused': true, 'client-unknown': true, 'service-refused': true, 'grant-failed': true },
};
/** What a gateway can meet while it runs; drivers and sources of others may have more. */
const CODES: readonly (KnockErrorCode | 'other')[] = [
  ...(['ERR_CAPTURE', 'ERR_CAPTURE_INTERFACE', 'ERR_CAPTURE_PERMISSION', 'ERR_WARDEN'] as const),
  ...(['ERR_FIREWALL_COMMAND', 'ERR_FIREWALL_FULL', 'ERR_FIREWALL_MISSING'] as const),
  ...(['ERR_FIREWALL_PERMISSION', 'ERR_FIREWALL_UNSUPPORTED', 'ERR_GRANT_JOURNAL'] as const),
  ...(['ERR_REPLAY_UNREADABLE', 'ERR_REPLAY_WRITE', 'other'] as const),
];
/** What becomes of grants, as `Metrics.close` has it. */
const ENDS = ['used', 'expired', 'revoked', 'superseded'] as const;

/**
 * Counts what listeners do; one of them, or several together.
 *
 * @example
 * ```ts
 * const metrics = new KnockCounts();
 * const listener = new KnockListener({ source, schemes, driver, services, clients, metrics });
 * await listener.start();
 * console.log(metrics.read().knocks);
 * ```
 */
export class KnockCounts implements Metrics {
  readonly #sinceMs = Date.now();
  readonly #packets = new Table('outcome', 'outcome');
  readonly #knocks = new Table('scheme', 'result');
  readonly #grants = new Table('service', 'scheme');
  readonly #closes = new Table('service', 'reason');
  readonly #errors = new Table('code', 'code');
  readonly #watched: Watched[] = [];
  readonly #tellOpened: ((openMs: number) => void)[] = [];
  #dropped = 0;

  /** Calls `tell` for each accepted knock that opened something, with how long that took, milliseconds. */
  onOpened(tell: (openMs: number) => void): void {
    this.#tellOpened.push(tell);
  }

  /** The counts as they are now. What can be and did not happen yet is there, with a zero. */
  read(): CountsReading {
    const open = (): CountsReading['open'] => this.#open();
    const schemes = this.#configured('schemes');
    const services = this.#configured('services');
    return {
      sinceMs: this.#sinceMs,
      packets: this.#packets.read(['decoded', 'decoded']),
      dropped: this.#dropped,
      knocks: this.#knocks.read(...pairs(schemes, Object.keys(RESULTS))),
      grants: this.#grants.read(...pairs(services, schemes)),
      closes: this.#closes.read(...pairs(services, ENDS)),
      errors: this.#errors.read(...CODES.map((code) => [code, code] as const)),
      // There may be many, and not every reader wants them.
      get open() {
        return open();
      },
    };
  }

  watch(listener: Watched): void {
    this.#watched.push(listener);
  }

  packet(outcome: string): void {
    this.#packets.add(outcome, outcome);
  }

  reject(reason: string, scheme: string): void {
    this.#knocks.add(scheme, reason);
  }

  accept(scheme: string, openMs: number | null): void {
    this.#knocks.add(scheme, 'accepted');
    if (openMs !== null) for (const tell of this.#tellOpened) tell(openMs);
  }

  grant(service: string, scheme: string): void {
    this.#grants.add(service, scheme);
  }

  close(reason: string, service: string): void {
    this.#closes.add(service, reason);
  }

  dropped(count: number): void {
    this.#dropped += count;
  }

  error(code: string): void {
    this.#errors.add(code, code);
  }

  #configured(what: 'services' | 'schemes'): readonly string[] {
    return [...new Set(this.#watched.flatMap((listener) => listener[what]))];
  }

  #open(): readonly Count<'service'>[] {
    const open = new Map(this.#configured('services').map((service) => [service, 0]));
    for (const { grants } of this.#watched)
      for (const { service } of grants) open.set(service, (open.get(service) ?? 0) + 1);
    return [...open].map(([service, count]) => ({ labels: { service }, count }));
  }
}

function pairs(ones: readonly string[], others: readonly string[]): readonly (readonly [string, string])[] {
  return ones.flatMap((one) => others.map((other) => [one, other] as const));
}

/** Counts by two labels, or by one that stands for both. */
class Table<L extends string> {
  readonly #names: readonly [L, L];
  readonly #rows = new Map<string, Map<string, Float64Array>>();

  constructor(one: L, other: L) {
    this.#names = [one, other];
  }

  add(one: string, other: string): void {
    const cell = this.#cell(one, other);
    // In an array of doubles a sum stays where it is; a property would get a new number on the heap each time.
    cell[0] = (cell[0] ?? 0) + 1;
  }

  /** With `least`, cells that are there even when nothing was counted. */
  read(...least: readonly (readonly [string, string])[]): readonly Count<L>[] {
    for (const [one, other] of least) this.#cell(one, other);
    const [first, second] = this.#names;
    return [...this.#rows].flatMap(([one, row]) =>
      [...row].map(([other, cell]) => ({
        labels: { [first]: one, [second]: other } as Record<L, string>,
        count: cell[0] ?? 0,
      })),
    );
  }

  #cell(one: string, other: string): Float64Array {
    let row = this.#rows.get(one);
    if (row === undefined) this.#rows.set(one, (row = new Map<string, Float64Array>()));
    let cell = row.get(other);
    if (cell === undefined) row.set(other, (cell = new Float64Array(1)));
    return cell;
  }
}
