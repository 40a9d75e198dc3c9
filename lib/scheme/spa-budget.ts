// How many signatures the gateway checks (protocols/spa.md, step 6): who holds the access key could otherwise make it
// spend 0.1 ms a packet. A bucket per client and source in a bounded table, and one for all; those who proved themselves
// from where they are have one of their own for all, so that forged sources use up nothing of theirs.

/** What a bucket holds at most, and how fast it fills. */
interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

const EACH: Rate = { perSecond: 5, burst: 10 };
const ALL: Rate = { perSecond: 500, burst: 1000 };
/** Checks made only to report how far a refused client's clock is off. */
const REPORTS: Rate = { perSecond: 1, burst: 5 };
const MOST_BUCKETS = 4096;

/** Counts out the checks of one gateway. */
export class CheckBudget {
  readonly #each = new Map<string, Bucket>();
  readonly #all = new Bucket(ALL);
  readonly #known = new Bucket(ALL);
  readonly #reports = new Bucket(REPORTS);

  /** Whether a check for this client and source may be made at `timeMs`. */
  take(client: string, source: string, timeMs: number): boolean {
    return this.#bucketOf(`${client} ${source}`).take(timeMs) && this.#all.take(timeMs);
  }

  /** The same for the source that the client's last good knock came from. */
  takeKnown(client: string, source: string, timeMs: number): boolean {
    return this.#bucketOf(`${client} ${source}`).take(timeMs) && this.#known.take(timeMs);
  }

  takeReport(timeMs: number): boolean {
    return this.#reports.take(timeMs);
  }

  /** The least recently used one makes room: forging sources only costs the forger's own buckets their memory. */
  #bucketOf(key: string): Bucket {
    const bucket = this.#each.get(key) ?? new Bucket(EACH);
    this.#each.delete(key);
    this.#each.set(key, bucket);
    if (this.#each.size > MOST_BUCKETS) {
      const [oldest] = this.#each.keys();
      if (oldest !== undefined) this.#each.delete(oldest);
    }
    return bucket;
  }
}

class Bucket {
  readonly #rate: Rate;
  #left: number;
  #atMs = Number.NEGATIVE_INFINITY;

  constructor(rate: Rate) {
    this.#rate = rate;
    this.#left = rate.burst;
  }

  take(timeMs: number): boolean {
    const { perSecond, burst } = this.#rate;
    // A clock that was set back fills nothing, and must not stop the filling until it has caught up.
    const elapsedMs = Math.max(0, timeMs - this.#atMs);
    this.#left = Math.min(burst, this.#left + (elapsedMs / 1000) * perSecond);
    this.#atMs = timeMs;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
