// A capture process as the verifying half has it: started, ordered and ended by the half with root; its packets come on a
// pipe that was handed over.

import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import type { ChildOrder, ChildReport } from '../capture/frames.ts';
import type { CaptureProcess } from '../capture/live-child.ts';
import type { Notice } from './messages.ts';
import type { Ask } from './remote-driver.ts';

/** The captures of one verifying half. */
export class RemoteCaptures {
  readonly #ask: Ask;
  readonly #tell: (notice: Notice) => void;
  readonly #running = new Map<number, RemoteCapture>();
  /** Pipes that came before the number of their capture. */
  readonly #early = new Map<number, Socket>();

  constructor({ ask, tell }: { readonly ask: Ask; readonly tell: (notice: Notice) => void }) {
    this.#ask = ask;
    this.#tell = tell;
  }

  /** One that waits for its order. */
  start(): CaptureProcess {
    const capture = new RemoteCapture({
      tell: this.#tell,
      begin: async ({ filter }) => {
        const number = Number(await this.#ask({ kind: 'capture', filter }));
        this.#running.set(number, capture);
        const packets = this.#early.get(number);
        this.#early.delete(number);
        if (packets !== undefined) capture.take(packets);
        return number;
      },
    });
    return capture;
  }

  handOver(number: number, packets: Socket): void {
    const capture = this.#running.get(number);
    if (capture === undefined) this.#early.set(number, packets);
    else capture.take(packets);
  }

  report(number: number, report: ChildReport): void {
    this.#running.get(number)?.tell(report);
  }

  ended(number: number, code: number | null, signal: string | null): void {
    // Its number may have come on the line before, and is entered when that has been taken.
    setImmediate(() => {
      const capture = this.#running.get(number);
      this.#running.delete(number);
      capture?.end(code, signal);
    });
  }
}

interface Parts {
  readonly tell: (notice: Notice) => void;
  /** Resolves to its number. */
  readonly begin: (order: ChildOrder) => Promise<number>;
}

class RemoteCapture extends EventEmitter implements CaptureProcess {
  /** Only whether there is one counts: it is another half's child. */
  pid: number | undefined = process.pid;
  connected = true;
  stdout: Socket | null = null;
  readonly #parts: Parts;
  #number: number | null = null;
  #wanted: 'run' | 'retire' | 'kill' = 'run';

  constructor(parts: Parts) {
    super();
    this.#parts = parts;
  }

  send(order: ChildOrder, sent: () => void): void {
    sent();
    this.#parts.begin(order).then(
      (number) => {
        this.#number = number;
        if (this.stdout !== null) this.#received();
        this.#end();
      },
      (error: unknown) => {
        this.pid = undefined;
        this.emit('error', error instanceof Error ? error : new Error(String(error)));
      },
    );
  }

  disconnect(): void {
    this.connected = false;
    if (this.#wanted === 'run') this.#wanted = 'retire';
    this.#end();
  }

  kill(): void {
    this.#wanted = 'kill';
    this.connected = false;
    this.stdout?.destroy();
    this.#end();
  }

  take(packets: Socket): void {
    packets.on('error', () => undefined);
    this.stdout = packets;
    if (this.#wanted === 'kill') packets.destroy();
    this.#received();
  }

  tell(report: ChildReport): void {
    this.emit('message', report);
  }

  end(code: number | null, signal: string | null): void {
    this.connected = false;
    this.emit('exit', code, signal);
  }

  #received(): void {
    if (this.#number === null) return;
    this.#parts.tell({ kind: 'received', capture: this.#number });
  }

  #end(): void {
    if (this.#number === null || this.#wanted === 'run') return;
    this.#parts.tell({ kind: this.#wanted, capture: this.#number });
  }
}
