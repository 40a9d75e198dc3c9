// An interactive shell on a terminal of its own (script of util-linux makes it), with somebody who types, waits for the
// prompt and answers what programs ask.

import { type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Machine } from '../support/machine.ts';

/** The prompt says what the last command returned. */
const PROMPT = /\[(\d+)\] (\w+)> $/u;
const PATIENCE_MS = 60_000;

export class Shell {
  /** All that has appeared on the screen, line ends as a file has them. */
  screen = '';
  readonly #child: ChildProcess;
  #wake = (): void => undefined;
  #ended = false;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.screen += text.replaceAll('\r\n', '\n').replaceAll('\r', '\n');
      this.#wake();
    });
    child.once('close', () => {
      this.#ended = true;
      this.#wake();
    });
  }

  /** A login on the machine, at its prompt. */
  static async open(machine: Machine, name: string): Promise<Shell> {
    // dumb: neither colours nor the marks of a pasted text; wide, so that a command stays on one line.
    const env = { TERM: 'dumb', SHELL: '/bin/sh' };
    const bash = `stty cols 300; exec env PS1='[$?] ${name}> ' bash --norc --noprofile -i`;
    const shell = new Shell(
      machine.spawn('script', ['-qec', bash, '/dev/null'], { env, stdio: ['pipe', 'pipe', 'inherit'] }),
    );
    await shell.wait(PROMPT, 0).catch(async (error: unknown) => {
      await shell.close();
      throw error;
    });
    return shell;
  }

  /** Types a command and waits for the next prompt; `answers`: what is asked, and what is typed then. */
  async type(
    command: string,
    answers: readonly (readonly [asked: RegExp, typed: string])[] = [],
  ): Promise<{ readonly status: number; readonly said: string }> {
    const from = this.start(command);
    const open = [...answers];
    for (;;) {
      const asked = open.map(([pattern]) => pattern);
      const [hit] = await this.wait(
        new RegExp([PROMPT, ...asked].map(({ source }) => source).join('|'), 'u'),
        from,
      );
      const said = this.screen.slice(from);
      const [, status] = PROMPT.exec(said) ?? [];
      if (status !== undefined) return { status: Number(status), said: said.replace(PROMPT, '') };
      const which = open.findIndex(([pattern]) => pattern.test(hit));
      const [answer] = open.splice(which, 1);
      this.#child.stdin?.write(`${answer?.[1] ?? ''}\n`);
    }
  }

  /** Types a command that does not end, and tells from where on the screen shows what it says. */
  start(command: string): number {
    const from = this.screen.length;
    this.#child.stdin?.write(`${command}\n`);
    return from;
  }

  /** Waits until something is on the screen, behind a place. */
  async wait(pattern: RegExp, from: number): Promise<RegExpExecArray> {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      // What was typed stands there as well, up to the line's end.
      const said = this.screen
        .slice(from)
        .replace(/^[^\n]*\n/u, (line) => (from === 0 ? line : ' '.repeat(line.length)));
      const match = pattern.exec(said);
      if (match !== null) return match;
      const left = deadline - Date.now();
      if (this.#ended || left <= 0)
        throw new Error(`${String(pattern)} is not to be seen: ${this.screen.slice(from)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Ctrl-C. */
  interrupt(): void {
    this.#child.stdin?.write('\u0003');
  }

  /** Ends what runs there, and the shell: portknockd takes the loss of its terminal for a wish to reload. */
  async close(): Promise<void> {
    if (this.#ended) return;
    const gone = once(this.#child, 'close');
    this.#child.stdin?.write('\u0003\nexit\n\u0003\nkill -9 $(jobs -p) 2>/dev/null; exit\n');
    const late = setTimeout(() => this.#child.kill('SIGKILL'), 3000);
    await gone;
    clearTimeout(late);
  }
}
