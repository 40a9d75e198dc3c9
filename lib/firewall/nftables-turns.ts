// The order of a driver's calls: one after another as they came, but changes that wait together are made together.

interface Waiting<C> {
  /** `null`: `alone` is to run by itself. */
  readonly change: C | null;
  readonly key: string;
  readonly alone: () => Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** How many changes are made together at most: a transaction's size, and what one failure makes anew. */
const MOST = 256;

/** A queue. `make` says of each change what went wrong, or `null`. */
export class Turns<C> {
  readonly #make: (changes: readonly C[]) => Promise<readonly (Error | null)[]>;
  #waiting: Waiting<C>[] = [];
  #running = false;

  constructor(make: (changes: readonly C[]) => Promise<readonly (Error | null)[]>) {
    this.#make = make;
  }

  /** A change; of those made together, no two have the same key. */
  change(key: string, change: C): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#add({ change, key, alone: () => Promise.resolve(), resolve, reject });
    });
  }

  /** Runs when all calls before it are done, and none after it has begun. */
  async alone<T>(run: () => Promise<T>): Promise<T> {
    const results: T[] = [];
    await new Promise<void>((resolve, reject) => {
      const alone = async (): Promise<void> => {
        results.push(await run());
      };
      this.#add({ change: null, key: '', alone, resolve, reject });
    });
    return results[0] as T;
  }

  #add(waiting: Waiting<C>): void {
    this.#waiting.push(waiting);
    if (this.#running) return;
    this.#running = true;
    // Calls of the same moment go together.
    queueMicrotask(() => void this.#run());
  }

  async #run(): Promise<void> {
    for (let next = this.#next(); next.length > 0; next = this.#next()) {
      const [first] = next;
      const changes = next.flatMap(({ change }) => (change === null ? [] : [change]));
      try {
        const faults = changes.length === 0 ? [] : await this.#make(changes);
        if (changes.length === 0) await first?.alone();
        for (const [i, { resolve, reject }] of next.entries()) {
          const fault = faults[i] ?? null;
          if (fault === null) resolve();
          else reject(fault);
        }
      } catch (error) {
        for (const { reject } of next) reject(error);
      }
    }
    this.#running = false;
  }

  #next(): readonly Waiting<C>[] {
    const keys = new Set<string>();
    let count = 0;
    for (const { change, key } of this.#waiting) {
      if (count === MOST || keys.has(key) || (change === null && count > 0)) break;
      count += 1;
      keys.add(key);
      if (change === null) break;
    }
    return this.#waiting.splice(0, count);
  }
}
