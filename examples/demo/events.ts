// What the gateway reports, in either mode: the fields of `portknockd --log json`.

import { Unexpected } from './story.ts';

export interface GatewayEvent {
  readonly event: string;
  /** ISO 8601. */
  readonly time: string;
  readonly [field: string]: unknown;
}

const SHOWN = ['reason', 'service', 'source', 'client', 'message'];
const PATIENCE_MS = 20_000;

/** Events in the order in which they came, each read once. */
export class EventQueue {
  #unread: GatewayEvent[] = [];
  #wake: () => void = () => undefined;

  push(event: GatewayEvent): void {
    this.#unread.push(event);
    this.#wake();
  }

  /** The next event of this kind; those before it are dropped. */
  async next(kind: string, timeoutMs = PATIENCE_MS): Promise<GatewayEvent> {
    const deadline = performance.now() + timeoutMs;
    const seen: string[] = [];
    for (;;) {
      const event = this.#unread.shift();
      if (event?.event === kind) return event;
      if (event !== undefined) {
        seen.push(describe(event));
        continue;
      }
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) {
        const got = seen.length === 0 ? 'nothing' : seen.join(', ');
        throw new Unexpected(`the gateway to report '${kind}'`, `it reported ${got}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}

/** One line for people. */
export function describe(event: GatewayEvent): string {
  const words = SHOWN.flatMap((name) => {
    const value = event[name];
    return typeof value === 'string' ? [`${name}=${value}`] : [];
  });
  return [event.event, ...words].join(' ');
}
