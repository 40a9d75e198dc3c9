// How the demo tells its story: numbered steps, each with what was run, what was said, what came of it and how long
// it took; at most 80 columns wide, coloured only on a terminal.

import { styleText } from 'node:util';
import { printable } from '../../lib/index.ts';

/** A step did not do what it should. */
export class Unexpected extends Error {
  constructor(expected: string, got: string) {
    super(`expected ${expected}; ${got}`);
  }
}

/** Fails the step unless `held`. */
export function expect(held: boolean, expected: string, got: string): void {
  if (!held) throw new Unexpected(expected, got);
}

type Style = Parameters<typeof styleText>[0];

const INDENT = '    ';
const COLUMNS = 80;

export class Story {
  readonly #began = performance.now();
  #steps = 0;
  #interrupted = false;

  /** Words before the first step and after the last. */
  say(text: string): void {
    for (const line of text.split('\n')) this.#write(wrap(line, ''));
  }

  /** Runs one step; `tell` resolves to what came of it. */
  async step(title: string, tell: () => Promise<string>): Promise<void> {
    this.#steps += 1;
    const began = performance.now();
    this.#write([`\n[${this.#steps}] ${title}`], 'bold');
    try {
      const outcome = await tell();
      this.#write(wrap(`ok: ${outcome} (${seconds(began)})`, INDENT), 'green');
    } catch (error) {
      const why = (error instanceof Error ? error.message : String(error))
        .trim()
        .replaceAll(/\s*\n\s*/gu, ' | ');
      this.#write(wrap(`FAILED after ${seconds(began)}: ${why}`, INDENT), 'red');
      throw error;
    }
  }

  /** A sentence of explanation. */
  note(text: string): void {
    this.#write(wrap(text, INDENT));
  }

  /** A command, as one would type it. */
  command(text: string): void {
    this.#write([`${INDENT}$ ${text}`], 'cyan');
  }

  /** What a program said. */
  quote(text: string): void {
    for (const line of text.split('\n').filter((each) => each.trim() !== '')) {
      this.#write(wrap(printable(line.trim(), 500), `${INDENT}| `), 'dim');
    }
  }

  /** Says why it ends here, and then no more: what fails now fails because of it. */
  interrupt(why: string): void {
    if (!this.#interrupted) this.#write([`\nInterrupted (${why}), cleaning up.`]);
    this.#interrupted = true;
  }

  /** Seconds since the beginning. */
  elapsed(): string {
    return seconds(this.#began);
  }

  #write(lines: readonly string[], style?: Style): void {
    if (this.#interrupted) return;
    const { NO_COLOR: refused = '' } = process.env;
    const coloured = style !== undefined && process.stdout.isTTY && refused === '';
    for (const line of lines) process.stdout.write(`${coloured ? styleText(style, line) : line}\n`);
  }
}

function seconds(began: number): string {
  return `${((performance.now() - began) / 1000).toFixed(1)} s`;
}

function wrap(text: string, indent: string): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && indent.length + line.length + 1 + word.length >= COLUMNS) {
      lines.push(indent + line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, indent + line];
}
