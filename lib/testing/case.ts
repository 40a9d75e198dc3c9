// One case of a conformance suite: works with any test runner, for instance
// `for (const { title, run } of cases) it(title, run)`.

/** A requirement that an implementation meets when `run` resolves. */
export interface ConformanceCase {
  readonly title: string;
  /** Resolves when the requirement is met, and rejects with what is wrong. */
  readonly run: () => Promise<void>;
}
