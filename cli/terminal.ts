// Secrets asked for on the terminal itself (/dev/tty), whatever stdin and stdout are: without echo, and with the
// terminal as it was before on every way out.

import { openSync, writeSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';
import { ReadStream } from 'node:tty';

/** A terminal to ask on. */
export interface Terminal {
  /** The line that was typed, without showing it; `null` when it was ended instead (Ctrl-D). */
  ask(prompt: string): Promise<string | null>;
  close(): void;
}

/** They end the program while the terminal is not as it should be. */
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const;
const MOST_CHARS = 1024;

/** The controlling terminal; `null` when there is none. */
export function openTerminal(): Terminal | null {
  let fd: number;
  try {
    fd = openSync('/dev/tty', 'r+');
  } catch {
    return null;
  }
  const input = new ReadStream(fd);
  const typed = new Typed();
  input.on('error', () => {
    typed.end();
  });
  input.on('end', () => {
    typed.end();
  });
  input.on('data', (bytes: Buffer) => {
    const signal = typed.take(bytes);
    if (signal !== null) die(signal);
  });
  const raw = (on: boolean): void => {
    if (!input.destroyed) input.setRawMode(on);
  };
  const handlers = SIGNALS.map((signal) => {
    const handler = (): void => {
      die(signal);
    };
    return [signal, handler] as const;
  });
  const unwatch = (): void => {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  };
  const say = (text: string): void => {
    try {
      writeSync(fd, text);
    } catch {
      // Hung up; its end shows when it is read.
    }
  };
  const restore = (): void => {
    say('\n');
    raw(false);
    unwatch();
  };
  const die = (signal: NodeJS.Signals): void => {
    restore();
    process.kill(process.pid, signal);
  };
  return {
    async ask(prompt) {
      for (const [signal, handler] of handlers) process.on(signal, handler);
      raw(true);
      say(prompt);
      input.resume();
      try {
        return await typed.line();
      } finally {
        input.pause();
        restore();
      }
    },
    close() {
      input.destroy();
    },
  };
}

/** What comes from the keyboard in raw mode, with the line editing that the terminal itself would do. */
class Typed {
  readonly #decoder = new StringDecoder('utf8');
  readonly #lines: string[] = [];
  #line: string[] = [];
  #ended = false;
  #wake = (): void => undefined;

  /** A signal, when its key was pressed. */
  take(bytes: Buffer): NodeJS.Signals | null {
    for (const char of this.#decoder.write(bytes)) {
      switch (char) {
        case '\r':
        case '\n':
          this.#lines.push(this.#line.join(''));
          this.#line = [];
          break;
        case '\u0003':
          return 'SIGINT';
        case '\u001c':
          return 'SIGQUIT';
        case '\u0004':
          if (this.#line.length === 0) this.#ended = true;
          break;
        case '\u007f':
        case '\b':
          this.#line.pop();
          break;
        case '\u0015':
          this.#line = [];
          break;
        default:
          if (this.#line.length < MOST_CHARS) this.#line.push(char);
      }
    }
    this.#wake();
    return null;
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** The next line; `null` at the end. */
  async line(): Promise<string | null> {
    while (this.#lines.length === 0 && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#lines.shift() ?? null;
  }
}
