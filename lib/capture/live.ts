// Live capture: runs capture/child.ts in a process of its own and reads its frames. A child that dies is started
// again with growing delay; until it runs, nothing is heard, so nothing opens.

import { fork, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { KnockError, messageOf, printable, type KnockErrorCode } from '../errors.ts';
import { captureFilter } from './filter.ts';
import { FrameReader, type ChildFault, type ChildOrder, type ChildReport } from './frames.ts';
import type { PacketSource, SourceContext } from './source.ts';

/** {@link liveCapture}'s options. */
export interface LiveOptions {
  /** Interface name, or `any`. */
  readonly interface: string;
  /** Whom the capture process becomes once it is open; 65534 (nobody) unless said. */
  readonly uid?: number;
  readonly gid?: number;
}

const NOBODY = 65534;
const START_PATIENCE_MS = 10_000;
const FIRST_RESTART_MS = 100;
const LONGEST_RESTART_MS = 10_000;

/**
 * Captures from a network interface; needs the optional package `pcap` and the right to capture (root or CAP_NET_RAW).
 * Nothing is ever sent, and a packet is seen even if the firewall drops it.
 */
export function liveCapture(options: LiveOptions): PacketSource {
  return new LiveCapture(options);
}

class LiveCapture implements PacketSource {
  readonly name: string;
  readonly loopback: boolean;
  readonly checksDestination = true;
  readonly #options: LiveOptions;
  #child: ChildProcess | null = null;
  #cancelRestart: (() => void) | null = null;
  #opened = false;
  #alive: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: LiveOptions) {
    this.#options = options;
    this.name = `interface ${options.interface}`;
    this.loopback = options.interface === 'lo';
  }

  async open(context: SourceContext): Promise<void> {
    if (this.#opened || this.#closed) {
      throw new KnockError('ERR_CAPTURE', `${this.name}: opened a second time (make a new source)`);
    }
    this.#opened = true;
    await this.#start(context, FIRST_RESTART_MS);
    this.#keepAlive();
  }

  close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#alive);
    this.#cancelRestart?.();
    const child = this.#child;
    this.#child = null;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
    return new Promise((resolve) => {
      child.once('exit', () => {
        resolve();
      });
      child.kill('SIGKILL');
    });
  }

  /** Between two children nothing else would keep the process alive: timers of a Clock do not. */
  #keepAlive(): void {
    if (!this.#closed) this.#alive = setInterval(() => undefined, 2 ** 30);
  }

  /** Starts a child and resolves when it captures; from then on its end starts the next one. */
  async #start(context: SourceContext, restartMs: number): Promise<void> {
    const child = fork(childPath(), {
      stdio: ['ignore', 'pipe', 'ignore', 'ipc'],
      env: { PATH: process.env.PATH ?? '' },
      serialization: 'json',
    });
    this.#child = child;
    this.#read(child, context);
    try {
      await this.#ready(child, context);
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
    const began = performance.now();
    child.once('exit', (code, signal) => {
      if (this.#closed || this.#child !== child) return;
      const lived = performance.now() - began > LONGEST_RESTART_MS;
      context.sink.warning(
        `capture on ${printable(this.#options.interface)} ended (${signal ?? `exit status ${String(code)}`}); starting it again`,
      );
      this.#restart(context, lived ? FIRST_RESTART_MS : restartMs);
    });
  }

  #restart(context: SourceContext, restartMs: number): void {
    this.#cancelRestart = context.clock.after(restartMs, () => {
      const longer = Math.min(restartMs * 2, LONGEST_RESTART_MS);
      this.#start(context, longer).catch((error: unknown) => {
        if (this.#closed) return;
        context.sink.warning(`capture cannot be started again: ${messageOf(error)}; trying on`);
        this.#restart(context, longer);
      });
    });
  }

  #read(child: ChildProcess, { sink }: SourceContext): void {
    const reader = new FrameReader((...frame) => {
      if (this.#closed) return;
      try {
        sink.frame(...frame);
      } catch (error) {
        // An event handler of our user threw: that is not the capture's fault, and the frames behind are whole.
        queueMicrotask(() => {
          throw error;
        });
      }
    });
    child.stdout?.on('data', (chunk: Buffer) => {
      try {
        reader.push(chunk);
      } catch (error) {
        // Only a child that went mad writes such a thing; its successor starts afresh.
        sink.warning(`capture process wrote nonsense: ${messageOf(error)}`);
        child.stdout?.destroy();
        child.kill('SIGKILL');
      }
    });
  }

  #ready(child: ChildProcess, { sink, clock, needs }: SourceContext): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = clock.after(START_PATIENCE_MS, () => {
        reject(new KnockError('ERR_CAPTURE', `capture did not start within ${START_PATIENCE_MS / 1000} s`));
      });
      const done = (settle: () => void): void => {
        cancel();
        settle();
      };
      child.once('error', (error) => {
        done(() => {
          reject(
            new KnockError('ERR_CAPTURE', `capture process cannot be started: ${error.message}`, {
              cause: error,
            }),
          );
        });
      });
      child.once('exit', (code, signal) => {
        done(() => {
          reject(
            new KnockError(
              'ERR_CAPTURE',
              `capture process ended at once (${signal ?? `exit status ${String(code)}`})`,
            ),
          );
        });
      });
      child.on('message', (report: ChildReport) => {
        switch (report.kind) {
          case 'dropped':
            sink.dropped(report.count);
            break;
          case 'failed':
            done(() => {
              reject(this.#failure(report.fault, report.message));
            });
            break;
          case 'ready':
            if (!report.droppedRoot) {
              sink.warning('capture process keeps root of this user namespace: there is no other user in it');
            }
            done(resolve);
            break;
        }
      });
      const { uid = NOBODY, gid = NOBODY } = this.#options;
      const order: ChildOrder = {
        device: this.#options.interface,
        filter: captureFilter(needs),
        uid,
        gid,
      };
      child.send(order, () => undefined);
    });
  }

  #failure(fault: ChildFault, said: string): KnockError {
    const device = printable(this.#options.interface);
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
      interface: [
        'ERR_CAPTURE_INTERFACE',
        `interface ${device} does not exist (ip link lists those that do)`,
      ],
      other: ['ERR_CAPTURE', `capture on ${device} failed: ${printable(said)}`],
    };
    const [code, message] = faults[fault];
    return new KnockError(code, message);
  }
}

/** Beside us in dist/, or the source itself when run from a checkout. */
function childPath(): string {
  const built = fileURLToPath(new URL('./capture-child.js', import.meta.url));
  return existsSync(built) ? built : fileURLToPath(new URL('./child.ts', import.meta.url));
}
