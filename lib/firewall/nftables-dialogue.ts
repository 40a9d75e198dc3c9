// One running `nft -i`. Each line that it reads is one transaction, and it answers success with silence; so behind every
// request comes a line that it cannot understand. The complaint about that line is the end of the answer: complaints
// come in order, on stderr, and what is listed was written before them. (nft(8); what nft 1.0.6 does on a pipe)

import { KnockError, printable } from '../errors.ts';
import { converse, type Dialogue } from './run.ts';

/** What came of a request. */
export type NftAnswer =
  | { readonly kind: 'done'; readonly output: string }
  /** A line failed: nothing of it was done. */
  | { readonly kind: 'refused'; readonly complaint: string }
  /** No answer: whether it was done is not known. */
  | { readonly kind: 'lost'; readonly reason: KnockError };

/** Without a home it keeps no history on the disk. */
const ENVIRONMENT = { HOME: '/nonexistent', TERM: 'dumb', INPUTRC: '/dev/null' };
const INSTALL = 'install the Debian package nftables';
/** Of a complaint, which repeats the line it is about, this much of the beginning and of the end is looked at. */
const HEAD = 4096;
/** What it lists beyond this is cut. */
const OUTPUT_LIMIT = 16 * 1024 * 1024;

interface Waiting {
  readonly mark: string;
  readonly resolve: (answer: NftAnswer) => void;
}

/** Asked one request at a time. */
export class NftDialogue {
  readonly #timeoutMs: number;
  readonly #heardEnd: (reason: KnockError) => void;
  #dismissed = false;
  readonly #dialogue: Dialogue;
  #waiting: Waiting | null = null;
  #ended: KnockError | null = null;
  #requests = 0;
  #written = 0;
  #output: Buffer[] = [];
  #outputSize = 0;
  #complaints = '';

  /** `ended`: when it ends, or is given up, and was not told to. */
  constructor(timeoutMs: number, ended: (reason: KnockError) => void = () => undefined) {
    this.#timeoutMs = timeoutMs;
    this.#heardEnd = ended;
    this.#dialogue = converse(
      'nft',
      { args: ['-i'], env: ENVIRONMENT, ifMissing: INSTALL },
      {
        output: (chunk) => {
          this.#outputSize += chunk.length;
          if (this.#outputSize <= OUTPUT_LIMIT) this.#output.push(chunk);
        },
        complaint: (chunk) => {
          this.#hear(chunk.toString('latin1'));
        },
        ended: (reason) => {
          this.#lose(reason);
        },
      },
    );
  }

  /** How much it was told: it remembers every line. */
  get written(): number {
    return this.#written;
  }

  get over(): boolean {
    return this.#ended !== null;
  }

  /** Says lines, each a transaction of its own. */
  ask(lines: readonly string[]): Promise<NftAnswer> {
    if (this.#ended !== null) return Promise.resolve({ kind: 'lost', reason: this.#ended });
    this.#requests += 1;
    const mark = `portknock-${this.#requests}`;
    this.#output = [];
    this.#outputSize = 0;
    this.#complaints = '';
    this.#dialogue.hold(true);
    return new Promise((resolve) => {
      const limit = setTimeout(() => {
        const late = `nft gave no answer within ${this.#timeoutMs} ms`;
        this.#lose(new KnockError('ERR_FIREWALL_COMMAND', late));
        this.#dialogue.kill();
      }, this.#timeoutMs);
      this.#waiting = {
        mark,
        resolve: (answer) => {
          clearTimeout(limit);
          this.#dialogue.hold(false);
          resolve(answer);
        },
      };
      const text = [...lines, mark, ''].join('\n');
      this.#written += text.length;
      this.#dialogue.write(text);
    });
  }

  end(): void {
    this.#dismissed = true;
    this.#dialogue.end();
  }

  #lose(reason: KnockError): void {
    if (this.#ended === null && !this.#dismissed) this.#heardEnd(reason);
    this.#ended ??= reason;
    this.#answer({ kind: 'lost', reason });
  }

  #hear(text: string): void {
    const all = this.#complaints + text;
    this.#complaints = all.length <= 2 * HEAD ? all : all.slice(0, HEAD) + all.slice(-HEAD);
    const mark = this.#waiting?.mark;
    const end = mark === undefined ? -1 : this.#complaints.indexOf(`\n${mark}\n`);
    if (end < 0) return;
    // The last is about the mark.
    const [complaint] = this.#complaints
      .slice(0, end)
      .split('\n')
      .filter((line) => line.startsWith('Error: '))
      .slice(0, -1);
    if (complaint !== undefined) {
      this.#answer({ kind: 'refused', complaint: printable(complaint.slice('Error: '.length)) });
      return;
    }
    // What it listed is in its pipe by now, and has been read after the next look at all pipes.
    setImmediate(() =>
      setImmediate(() => {
        if (this.#waiting?.mark === mark)
          this.#answer({ kind: 'done', output: Buffer.concat(this.#output).toString('latin1') });
      }),
    );
  }

  #answer(answer: NftAnswer): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.resolve(answer);
  }
}
