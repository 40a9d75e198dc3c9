// The order of the grants' changes: those of one opening one after another as they came, those of different openings at
// the same time, so that a driver can make many of them in one step.

/** Lanes by key. */
export class Lanes {
  /** The last of each lane that has any; it never rejects. */
  readonly #last = new Map<string, Promise<void>>();
  /** The last that ran alone. */
  #barrier: Promise<void> = Promise.resolve();

  /** Runs when all earlier ones are done that have a key in common. */
  along<T>(keys: readonly string[], run: () => Promise<T>): Promise<T> {
    const before = keys.flatMap((key) => this.#last.get(key) ?? []);
    const turn = (before.length === 0 ? this.#barrier : Promise.all([this.#barrier, ...before])).then(run);
    const done: Promise<void> = turn.then(
      () => {
        this.#leave(keys, done);
      },
      () => {
        this.#leave(keys, done);
      },
    );
    for (const key of keys) this.#last.set(key, done);
    return turn;
  }

  /** Runs when all earlier ones are done, before all later ones. */
  alone<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.idle().then(run);
    this.#barrier = turn.then(
      () => undefined,
      () => undefined,
    );
    return turn;
  }

  /** Resolves when all that were asked for so far are done. */
  async idle(): Promise<void> {
    await Promise.all([this.#barrier, ...this.#last.values()]);
  }

  isBusy(key: string): boolean {
    return this.#last.has(key);
  }

  #leave(keys: readonly string[], done: Promise<void>): void {
    for (const key of keys) if (this.#last.get(key) === done) this.#last.delete(key);
  }
}
