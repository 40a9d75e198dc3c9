// What the parts of the comparison have in common: each is a module that exports `measure(context)`.

import type { Row } from './result.ts';

/** How a part is to measure. */
export interface Context {
  /** How many times each figure of part a is taken; other parts take what is like it. */
  readonly rounds: number;
  /** Only to see that it works: few rounds, short floods. */
  readonly smoke: boolean;
  /** Says what goes on, or why something was not measured. */
  note(text: string): void;
  /** Remembers how a figure was come by, for the page; the same line twice is kept once. */
  command(line: string): void;
}

export interface PartModule {
  measure(context: Context): Promise<Row[]>;
}
