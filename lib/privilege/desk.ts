// Where the verifying half's messages arrive: each is looked at, done if the guard agrees, and answered.

import { isKnockError, messageOf } from '../errors.ts';
import type { CaptureKeeper } from './capture-keeper.ts';
import type { Guard } from './guard.ts';
import { MOST_WAITING, questionIn, type Notice, type Order, type Request } from './messages.ts';

/** {@link Desk}'s options. */
export interface DeskOptions {
  readonly guard: Pick<
    Guard,
    'open' | 'close' | 'list' | 'hold' | 'setup' | 'reload' | 'requireFilter' | 'mark'
  >;
  readonly captures: Pick<CaptureKeeper, 'start' | 'received' | 'retire' | 'kill'>;
  readonly send: (order: Order) => void;
  /** What the other half tells of itself. */
  readonly noted: (notice: Extract<Notice, { readonly kind: 'hello' | 'ready' | 'alive' }>) => void;
  /** Told what no portknockd does. */
  readonly fault: (fault: string) => void;
}

/** Answers the verifying half. */
export class Desk {
  readonly #options: DeskOptions;
  #waiting = 0;

  constructor(options: DeskOptions) {
    this.#options = options;
  }

  take(value: unknown): void {
    const question = questionIn(value);
    if (question === null) this.#options.fault('it sent what is no message');
    else if (!('id' in question)) this.#note(question);
    else if (this.#waiting >= MOST_WAITING) this.#options.fault('it asks without waiting for answers');
    else void this.#answer(question);
  }

  #note(notice: Notice): void {
    const { captures, noted } = this.#options;
    switch (notice.kind) {
      case 'hello':
      case 'ready':
      case 'alive':
        noted(notice);
        break;
      case 'received':
        captures.received(notice.capture);
        break;
      case 'retire':
        captures.retire(notice.capture);
        break;
      case 'kill':
        captures.kill(notice.capture);
        break;
    }
  }

  async #answer(request: Request): Promise<void> {
    const { id } = request;
    const { send } = this.#options;
    this.#waiting += 1;
    try {
      send({ kind: 'answer', id, value: (await this.#do(request)) ?? null });
    } catch (error) {
      const code = isKnockError(error) ? error.code : null;
      send({ kind: 'refusal', id, code, message: messageOf(error) });
    } finally {
      this.#waiting -= 1;
    }
  }

  async #do(request: Request): Promise<unknown> {
    const { guard, captures } = this.#options;
    switch (request.kind) {
      case 'open':
        return guard.open(request.grant);
      case 'close':
        return guard.close(request.grant);
      case 'list':
        return guard.list();
      case 'hold':
        guard.hold(request.grants);
        return null;
      case 'setup':
        return guard.setup();
      case 'reload':
        return guard.reload();
      case 'capture':
        guard.requireFilter(request.filter);
        return captures.start(request.filter);
      case 'mark':
        return guard.mark(request.account);
    }
  }
}
