// One capture process as its parent sees it: started with an order, read, asked to end or killed.

import type { Readable } from 'node:stream';
import type { Clock } from '../clock.ts';
import { KnockError, messageOf, printable, type KnockErrorCode } from '../errors.ts';
import {
  FrameReader,
  type ChildFault,
  type ChildOrder,
  type ChildReport,
  type FrameHandler,
} from './frames.ts';
import type { PacketSink } from './source.ts';

/** What we use of a process that fork() made. */
export interface CaptureProcess {
  readonly pid?: number | undefined;
  readonly connected: boolean;
  readonly stdout: Readable | null;
  on(event: 'error', run: (error: Error) => void): unknown;
  on(event: 'message', run: (report: ChildReport) => void): unknown;
  /** After the process has ended. */
  once(event: 'exit', run: (code: number | null, signal: string | null) => void): unknown;
  send(order: ChildOrder, sent: () => void): unknown;
  disconnect(): void;
  kill(signal: 'SIGKILL'): unknown;
}

/** {@link LiveChild}'s options. */
export interface LiveChildOptions {
  /** Just started, and told nothing yet. */
  readonly process: CaptureProcess;
  readonly order: ChildOrder;
  readonly clock: Clock;
  readonly sink: PacketSink;
}

const START_PATIENCE_MS = 10_000;
const RETIRE_PATIENCE_MS = 1000;

/** A process that captures with one filter. Nothing of what it writes is taken before read(). */
export class LiveChild {
  readonly filter: string;
  /** Resolves when it captures, to whether it gave up root. @throws KnockError `ERR_PCAP_*`, `ERR_CAPTURE*`; it is dead then */
  readonly ready: Promise<boolean>;
  /** Resolves when the process has ended, to how. */
  readonly gone: Promise<string>;
  readonly #process: CaptureProcess;
  readonly #sink: PacketSink;
  #capturing = true;
  /** What it ended of, in its own words. */
  #failure: string | null = null;

  constructor({ process, order, clock, sink }: LiveChildOptions) {
    this.filter = order.filter;
    this.#process = process;
    this.#sink = sink;
    this.gone = new Promise((resolve) => {
      process.once('exit', (code, signal) => {
        this.#capturing = false;
        resolve(this.#failure ?? signal ?? `exit status ${String(code)}`);
      });
      process.on('error', (error) => {
        // A process that never was does not exit. Other errors are of messages to one that is ending.
        if (process.pid === undefined) resolve(error.message);
      });
    });
    this.ready = this.#begin(order, clock);
  }

  /** False once it has ended, or was asked to. */
  get capturing(): boolean {
    return this.#capturing;
  }

  /** Takes its frames from now on, those that it has written already first. */
  read(handle: FrameHandler): void {
    const reader = new FrameReader(handle);
    this.#process.stdout?.on('data', (chunk: Buffer) => {
      try {
        reader.push(chunk);
      } catch (error) {
        // Only a child that went mad writes such a thing; its successor starts afresh.
        this.#sink.warning(`capture process wrote nonsense: ${messageOf(error)}`);
        void this.kill();
      }
    });
  }

  /**
   * Lets it write what the kernel holds for it and end; killed when that takes more than a second. Resolves when it is
   * gone; what it wrote last may still be on its way.
   */
  async retire(clock: Clock): Promise<void> {
    this.#capturing = false;
    // It exits when it hears of that, which it does when no packet is waiting.
    if (this.#process.connected) this.#process.disconnect();
    const cancel = clock.after(RETIRE_PATIENCE_MS, () => {
      this.#signal();
    });
    await this.gone;
    cancel();
  }

  /** Ends it at once; what it wrote and was not taken is lost. Resolves when it is gone. */
  async kill(): Promise<void> {
    this.#process.stdout?.destroy();
    this.#signal();
    // Root without CAP_KILL may not signal it, but it exits by itself when it hears of that.
    if (this.#process.pid !== undefined && this.#process.connected) this.#process.disconnect();
    await this.gone;
  }

  #signal(): void {
    // Node signals process group 0, which is our own, in place of a process that could not be started (EMFILE).
    if (this.#process.pid !== undefined) this.#process.kill('SIGKILL');
  }

  async #begin(order: ChildOrder, clock: Clock): Promise<boolean> {
    let cancel: () => void = () => undefined;
    try {
      return await new Promise<boolean>((resolve, reject) => {
        const refuse = (message: string): void => {
          reject(new KnockError('ERR_CAPTURE', message));
        };
        cancel = clock.after(START_PATIENCE_MS, () => {
          refuse(`capture did not start within ${START_PATIENCE_MS / 1000} s`);
        });
        void this.gone.then((how) => {
          if (this.#process.pid === undefined) refuse(`capture process cannot be started: ${printable(how)}`);
          else refuse(`capture process ended at once (${how})`);
        });
        this.#process.on('message', (report: ChildReport) => {
          switch (report.kind) {
            case 'dropped':
              this.#sink.dropped(report.count);
              break;
            case 'failed': {
              const error = failure(order.device, report.fault, report.message);
              this.#failure = error.message;
              reject(error);
              break;
            }
            case 'ready':
              resolve(report.droppedRoot);
              break;
          }
        });
        // Without a process there is nothing to send with; why, comes with the event.
        if (this.#process.pid !== undefined) this.#process.send(order, () => undefined);
      });
    } catch (error) {
      void this.kill();
      throw error;
    } finally {
      cancel();
    }
  }
}

function failure(interfaceName: string, fault: ChildFault, said: string): KnockError {
  const device = printable(interfaceName);
  const faults: Readonly<Record<ChildFault, readonly [KnockErrorCode, string]>> = {
    absent: [
      'ERR_PCAP_ABSENT',
      'package pcap is not installed (npm install pcap, with the Debian package libpcap-dev)',
    ],
    unbuilt: [
      'ERR_PCAP_UNBUILT',
      'package pcap is installed but not built (apt-get install libpcap-dev g++ make, then npm rebuild pcap; npm 12: npm install-scripts approve pcap)',
    ],
    permission: [
      'ERR_CAPTURE_PERMISSION',
      `interface ${device} may not be captured (run as root or with CAP_NET_RAW)`,
    ],
    interface: ['ERR_CAPTURE_INTERFACE', `interface ${device} does not exist (ip link lists those that do)`],
    down: ['ERR_CAPTURE_INTERFACE', `interface ${device} is down or gone (ip link set ${device} up)`],
    deaf: ['ERR_CAPTURE_INTERFACE', `interface ${device} was down for a moment`],
    other: ['ERR_CAPTURE', `capture on ${device} failed: ${printable(said)}`],
  };
  const [code, message] = faults[fault];
  return new KnockError(code, message);
}
