// A real bash or zsh on a terminal of its own, which is asked what it makes of a command line when all completions are
// inserted.

import { spawn, type ChildProcess } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import type { Place } from './support.ts';

export type ShellName = 'bash' | 'zsh';

interface Way {
  readonly start: string;
  readonly rcFile: string;
  readonly rc: (setUp: SetUp) => string;
  /** The key that inserts all completions, the one that shows the line, and what empties it. */
  readonly keys: string;
}

const WAYS: Readonly<Record<ShellName, Way>> = {
  bash: {
    start: 'bash --noprofile --rcfile home/.bashrc -i',
    rcFile: '.bashrc',
    rc: ({ first = '', then = '' }) => `${first}
${then}
bind -x '"\\C-g": printf "\\n<<%s>>\\n" "$READLINE_LINE"'
`,
    keys: '\u001b*\u0007\u0001\u000b',
  },
  zsh: {
    start: 'zsh -d -i',
    rcFile: '.zshrc',
    rc: ({ first = '', then = '' }) => `${first}
autoload -Uz compinit
compinit -u -D
${then}
zle -C all-matches complete-word _generic
zstyle ':completion:all-matches:*' insert true
zstyle ':completion:all-matches::::' completer _all_matches _complete
show() { zle -I; print -r -- "<<$BUFFER>>"; BUFFER= }
zle -N show
bindkey '^Xa' all-matches
bindkey '^G' show
`,
    keys: '\u0018a\u0007',
  },
};

/** Lines of the start-up file, before and after completion is there. */
export interface SetUp {
  readonly first?: string;
  readonly then?: string;
}

/** A shell that has been started. */
export class Shell {
  readonly #child: ChildProcess;
  readonly #keys: string;
  #screen = '';
  #asked = 0;
  #ended = false;
  #wake = (): void => undefined;

  private constructor(child: ChildProcess, keys: string) {
    this.#child = child;
    this.#keys = keys;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#screen += text;
      this.#wake();
    });
    child.once('close', () => {
      this.#ended = true;
      this.#wake();
    });
  }

  /** Starts one in `place`, whose `home` is there. */
  static async start(name: ShellName, place: Place, setUp: SetUp): Promise<Shell> {
    const { start, rcFile, rc, keys } = WAYS[name];
    await writeFile(place.path('home', rcFile), rc(setUp));
    const child = spawn('script', ['-qec', start, '/dev/null'], {
      cwd: place.folder,
      env: place.environment({ TERM: 'dumb', SHELL: '/bin/sh', INPUTRC: '/dev/null', LC_ALL: 'C.UTF-8' }),
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    return new Shell(child, keys);
  }

  /** The line as typed, and everything that could complete it. */
  async complete(line: string): Promise<string> {
    this.#asked += 1;
    this.#child.stdin?.write(line + this.#keys);
    for (;;) {
      const shown = [...this.#screen.matchAll(/^<<(.*)>>\r?$/gmu)].map(([, found = '']) => found);
      const answer = shown[this.#asked - 1];
      if (answer !== undefined) return answer;
      if (this.#ended) throw new Error(`the shell ended: ${this.#screen}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async end(): Promise<void> {
    if (this.#ended) return;
    const closed = new Promise((resolve) => this.#child.once('close', resolve));
    // Takes the terminal away, which ends the shell whatever it is doing.
    this.#child.kill('SIGKILL');
    await closed;
  }
}
