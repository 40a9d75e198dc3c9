// What is wrong with a configuration: every problem at once, each with its place in the file.

import type { LineCounter } from 'yaml';
import { KnockError, printable } from '../errors.ts';

/** One problem or warning, with its place (line and column count from 1). */
export interface ConfigProblem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** What is wrong, and in parentheses what to do. Never a secret. */
  readonly message: string;
}

/** A configuration that cannot be used; `message` holds one line for each of the `problems`. */
export class ConfigError extends KnockError {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[], options?: { cause?: unknown }) {
    super('ERR_CONFIG', problems.map(formatProblem).join('\n'), options);
    this.name = 'ConfigError';
    this.problems = problems;
  }
}

/** `file:line:column: message`, on one line. */
export function formatProblem(problem: ConfigProblem): string {
  const { file, line, column, message } = problem;
  return `${printable(file, 4096)}:${line}:${column}: ${message}`;
}

/** Collects problems and warnings: of one file by offset into its text, and of others that it names. */
export class Problems {
  readonly #file: string;
  readonly #lines: LineCounter;
  readonly #errors: ConfigProblem[] = [];
  readonly #warnings: ConfigProblem[] = [];

  constructor(file: string, lines: LineCounter) {
    this.#file = file;
    this.#lines = lines;
  }

  error(offset: number, message: string): void {
    this.#errors.push(this.#locate(offset, message));
  }

  warning(offset: number, message: string): void {
    this.#warnings.push(this.#locate(offset, message));
  }

  /** A problem of another file. */
  errorElsewhere(problem: ConfigProblem): void {
    this.#errors.push(problem);
  }

  warningElsewhere(problem: ConfigProblem): void {
    this.#warnings.push(problem);
  }

  get warnings(): readonly ConfigProblem[] {
    return this.#inOrder(this.#warnings);
  }

  /** @throws ConfigError when there is any error */
  throwIfAny(): void {
    if (this.#errors.length > 0) throw new ConfigError(this.#inOrder(this.#errors));
  }

  #locate(offset: number, message: string): ConfigProblem {
    const { line, col } = this.#lines.linePos(offset);
    return { file: this.#file, line: Math.max(line, 1), column: Math.max(col, 1), message };
  }

  /** The configuration itself first, then the others as they came. */
  #inOrder(problems: readonly ConfigProblem[]): readonly ConfigProblem[] {
    const files = [this.#file, ...new Set(problems.map(({ file }) => file))];
    return problems.toSorted(
      (one, other) =>
        files.indexOf(one.file) - files.indexOf(other.file) ||
        one.line - other.line ||
        one.column - other.column,
    );
  }
}
