// The capture processes, as the half with root keeps them: started only for what the configuration captures, their packets
// handed to the verifying half unread.

import { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { ChildFault, ChildOrder, ChildReport } from '../capture/frames.ts';
import { KnockError, messageOf, printable } from '../errors.ts';
import type { Order } from './messages.ts';

/** What we use of a process that fork() made. */
export interface StartedCapture {
  readonly pid?: number | undefined;
  readonly connected: boolean;
  readonly stdout: Readable | null;
  on(event: 'message', run: (report: unknown) => void): unknown;
  on(event: 'error', run: (error: Error) => void): unknown;
  once(event: 'exit', run: (code: number | null, signal: string | null) => void): unknown;
  send(order: ChildOrder, sent: () => void): unknown;
  disconnect(): void;
  kill(signal: 'SIGKILL'): unknown;
}

/** {@link CaptureKeeper}'s options. */
export interface KeeperOptions {
  /** What is captured, and whom each process becomes. */
  readonly order: Omit<ChildOrder, 'filter'>;
  readonly start: () => StartedCapture;
  /** Hands the packets of a capture over. */
  readonly handOver: (capture: number, packets: Socket) => void;
  readonly tell: (order: Order) => void;
}

interface Kept {
  readonly process: StartedCapture;
  readonly filter: string;
  ordered: boolean;
}

/** One in force, one that takes over, and those that are ending. */
const MOST = 4;
const FAULTS: readonly ChildFault[] = [
  ...(['absent', 'unbuilt', 'permission', 'interface', 'down', 'deaf', 'other'] as const),
];
const MOST_CHARACTERS = 1000;

/** Captures by number. */
export class CaptureKeeper {
  readonly #options: KeeperOptions;
  readonly #kept = new Map<number, Kept>();
  #last = 0;
  #wake = (): void => undefined;

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /** Starts a capture with a filter that was looked at; its number. @throws KnockError `ERR_CAPTURE`, `ERR_WARDEN` */
  async start(filter: string): Promise<number> {
    if (this.#kept.size >= MOST) throw new KnockError('ERR_WARDEN', 'too many captures at a time');
    const process = this.#options.start();
    const failed = new Promise<Error>((resolve) => {
      process.on('error', resolve);
    });
    const packets = process.stdout;
    if (process.pid === undefined || !(packets instanceof Socket)) throw await failed;
    const capture = (this.#last += 1);
    this.#kept.set(capture, { process, filter, ordered: false });
    process.on('message', (said) => {
      const report = reportIn(said);
      if (report === null) this.kill(capture);
      else this.#options.tell({ kind: 'report', capture, report });
    });
    process.once('exit', (code, signal) => {
      this.#kept.delete(capture);
      // Still here where the other half takes no pipes.
      packets.destroy();
      this.#options.tell({ kind: 'ended', capture, code, signal });
      if (this.#kept.size === 0) this.#wake();
    });
    this.#options.handOver(capture, packets);
    return capture;
  }

  /** It has the pipe: only now may anything be written into it, since until then this process would have read it. */
  received(capture: number): void {
    const kept = this.#kept.get(capture);
    if (kept === undefined || kept.ordered || !kept.process.connected) return;
    kept.ordered = true;
    kept.process.send({ ...this.#options.order, filter: kept.filter }, () => undefined);
  }

  /** Lets it end by itself. */
  retire(capture: number): void {
    const kept = this.#kept.get(capture);
    if (kept?.process.connected === true) kept.process.disconnect();
  }

  kill(capture: number): void {
    this.#kept.get(capture)?.process.kill('SIGKILL');
    // Without CAP_KILL it is only asked to.
    this.retire(capture);
  }

  /** Kills all; resolves when they are gone. */
  async end(): Promise<void> {
    if (this.#kept.size === 0) return;
    const gone = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    for (const capture of this.#kept.keys()) this.kill(capture);
    await gone;
  }
}

/** The process reads what strangers send, so that what it says is looked at as well. */
function reportIn(value: unknown): ChildReport | null {
  if (typeof value !== 'object' || value === null) return null;
  const { kind, droppedRoot, count, fault: said, message } = value as Readonly<Record<string, unknown>>;
  if (kind === 'ready') return typeof droppedRoot === 'boolean' ? { kind, droppedRoot } : null;
  if (kind === 'dropped')
    return typeof count === 'number' && Number.isSafeInteger(count) ? { kind, count } : null;
  const fault = FAULTS.find((one) => one === said);
  if (kind !== 'failed' || fault === undefined) return null;
  return { kind, fault, message: printable(messageOf(message), MOST_CHARACTERS) };
}
