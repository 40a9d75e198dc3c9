// A program of ours on a terminal of its own (script of util-linux makes it), with somebody who types.

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Program } from '../support/programs.ts';
import type { Place } from './support.ts';

/** A program on a terminal. */
export class OnTerminal {
  /** All that has appeared on the screen. */
  screen = '';
  readonly #child: ChildProcess;
  #ended = false;
  #wake = (): void => undefined;

  constructor(
    place: Place,
    [program, ...args]: readonly [Program, ...string[]],
    env: NodeJS.ProcessEnv = {},
  ) {
    const [node, all] = place.command(program, args);
    const line = [node, ...all].map((word) => `'${word}'`).join(' ');
    // What the terminal is like afterwards, which the shell must live to see.
    const script = `trap : INT QUIT; ${line}; code=$?; stty -a | tr ';' '\\n' | grep -wo -e '-*echo' -e '-*icanon'; exit $code`;
    this.#child = spawn('script', ['-qec', script, '/dev/null'], {
      cwd: place.folder,
      env: place.environment({ TERM: 'dumb', SHELL: '/bin/sh', ...env }),
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.screen += text;
      place.printed += text;
      this.#wake();
    });
    this.#child.once('close', () => {
      this.#ended = true;
      this.#wake();
    });
  }

  /** Waits until the text has appeared so many times, and types. */
  async answer(prompt: string, typed: string, times = 1): Promise<void> {
    while (this.screen.split(prompt).length <= times) {
      if (this.#ended) throw new Error(`the program ended without asking: ${this.screen}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#child.stdin?.write(typed);
  }

  /** The exit code, and whether the terminal is as it was before. */
  async end(): Promise<{ readonly code: number | null; readonly restored: boolean }> {
    const [code] = (await once(this.#child, 'close')) as [number | null];
    const lines = this.screen.split(/\r?\n/u);
    return { code, restored: lines.includes('echo') && lines.includes('icanon') };
  }
}
