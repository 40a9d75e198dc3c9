// An open live capture: which filter it has to have at present (protocols/spa.md "Hint"), and that it goes on. When a
// capture process dies, another is started with growing delay; until it runs, nothing is heard, so nothing opens.

import { KnockError, messageOf, printable } from '../errors.ts';
import type { CaptureNeed } from '../scheme/scheme.ts';
import { captureFilter } from './filter.ts';
import type { LiveChild } from './live-child.ts';
import { LiveChildren } from './live-children.ts';
import type { SourceContext } from './source.ts';

/** {@link LiveRun}'s options. */
export interface LiveRunOptions {
  readonly context: SourceContext;
  /** The interface's name, for messages. */
  readonly device: string;
  /** Starts a capture process with this filter. */
  readonly spawn: (filter: string) => LiveChild;
  /** Whether the interface is up, as far as one can see; when it comes up, a restart that waits is due. Always unless given. */
  readonly isUp?: () => boolean;
}

const FIRST_RESTART_MS = 100;
const LONGEST_RESTART_MS = 10_000;
/** How often it is looked whether the interface has come up. */
const LOOK_MS = 500;
/** Hints change by the hour and hold one more before and after, so this is soon enough for a stepped clock, too. */
const CHECK_MS = 60_000;

/** Keeps one interface captured until it is closed. */
export class LiveRun {
  readonly #context: SourceContext;
  readonly #device: string;
  readonly #children: LiveChildren;
  readonly #isUp: () => boolean;
  #needs: readonly CaptureNeed[];
  /** Filters are changed one after the other. */
  #turn: Promise<void> = Promise.resolve();
  #restartMs = FIRST_RESTART_MS;
  #cancelRestart: () => void = () => undefined;
  /** Why it does not run, as it was told last; null while it does. */
  #trouble: string | null = null;
  #cancelCheck: () => void = () => undefined;
  /** Set once it is open: between two children nothing else would keep the process alive, a Clock's timers do not. */
  #alive: NodeJS.Timeout | null = null;
  #closed = false;

  constructor({ context, device, spawn, isUp = () => true }: LiveRunOptions) {
    this.#context = context;
    this.#isUp = isUp;
    this.#device = printable(device);
    this.#needs = context.needs;
    this.#children = new LiveChildren({
      context,
      spawn,
      onLost: (how, lived) => {
        this.#lost(how, lived);
      },
    });
  }

  /** Resolves when it captures. To be called once. @throws KnockError `ERR_PCAP_*`, `ERR_CAPTURE*` */
  async open(): Promise<void> {
    await this.#capture(this.#needs);
    if (this.#closed) return;
    this.#alive = setInterval(() => undefined, 2 ** 30);
    this.#checkLater();
  }

  /** Resolves when it captures for these needs. @throws KnockError as open(), and nothing has changed then */
  async renew(needs: readonly CaptureNeed[]): Promise<void> {
    if (this.#alive === null) {
      throw new KnockError('ERR_CAPTURE', `capture on ${this.#device} is not open (wait for open)`);
    }
    await this.#inTurn(() => this.#capture(needs));
  }

  /** Resolves when every child is gone; no frame is delivered from the call on. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#alive !== null) clearInterval(this.#alive);
    this.#cancelRestart();
    this.#cancelCheck();
    await this.#children.close();
  }

  /** Resolves when packets are captured by the filter that `needs` give at present. */
  async #capture(needs: readonly CaptureNeed[]): Promise<void> {
    if (this.#closed) throw new KnockError('ERR_CAPTURE', `capture on ${this.#device} was closed`);
    const filter = captureFilter(needs, this.#context.clock.now());
    if (filter !== this.#children.filter) {
      try {
        await this.#children.change(filter);
      } finally {
        if (this.#children.filter === null) this.#restart();
      }
    }
    this.#needs = needs;
  }

  #checkLater(): void {
    this.#cancelCheck = this.#context.clock.after(CHECK_MS, () => {
      this.#checkLater();
      this.#inTurn(async () => {
        if (this.#children.filter !== null) await this.#capture(this.#needs);
      }).catch((error: unknown) => {
        this.#warn(`capture filter cannot be renewed: ${messageOf(error)}; the old one stays for now`);
      });
    });
  }

  #lost(how: string, livedMs: number): void {
    this.#trouble = `capture on ${this.#device} ended (${how}); starting it again`;
    this.#warn(this.#trouble);
    if (livedMs > LONGEST_RESTART_MS) this.#restartMs = FIRST_RESTART_MS;
    this.#restart();
  }

  #restart(): void {
    if (this.#closed || this.#alive === null) return;
    this.#cancelRestart();
    const delayMs = this.#restartMs;
    this.#restartMs = Math.min(delayMs * 2, LONGEST_RESTART_MS);
    this.#startIn(delayMs, this.#isUp());
  }

  /** Starts after the delay, or as soon as the interface has come up. */
  #startIn(delayMs: number, wasUp: boolean): void {
    const waitMs = Math.min(delayMs, LOOK_MS);
    this.#cancelRestart = this.#context.clock.after(waitMs, () => {
      const isUp = this.#isUp();
      if (delayMs > waitMs && (wasUp || !isUp)) {
        this.#startIn(delayMs - waitMs, isUp);
        return;
      }
      this.#inTurn(() => this.#capture(this.#needs)).then(
        () => {
          if (this.#trouble !== null) this.#warn(`capture on ${this.#device} runs again`);
          this.#trouble = null;
        },
        (error: unknown) => {
          // Once, however often it is tried in vain.
          const trouble = `capture cannot be started again: ${messageOf(error)}; trying on`;
          if (trouble !== this.#trouble) this.#warn(trouble);
          this.#trouble = trouble;
        },
      );
    });
  }

  /** Does `work` when its turn comes; the next one's comes when the child that it replaced has ended. */
  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined).then(() => this.#children.relieve());
    return done;
  }

  #warn(message: string): void {
    if (!this.#closed) this.#context.sink.warning(message);
  }
}
