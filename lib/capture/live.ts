// Live capture as a packet source, with real processes: each runs child.ts, live-run.ts keeps them.

import { fork, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { fileURLToPath } from 'node:url';
import { KnockError, printable } from '../errors.ts';
import type { CaptureNeed } from '../scheme/scheme.ts';
import { LiveChild, type CaptureProcess } from './live-child.ts';
import { LiveRun } from './live-run.ts';
import { tellingLosses, type LossTeller } from './losses.ts';
import type { PacketSource, SourceContext } from './source.ts';

/** {@link liveCapture}'s options. */
export interface LiveOptions {
  /** Interface name, or `any`. */
  readonly interface: string;
  /** Whom the capture process becomes once it is open; 65534 (nobody) unless said. */
  readonly uid?: number;
  readonly gid?: number;
}

/** Whom the capture process becomes, and its group. */
export const NOBODY = 65_534;

/**
 * Captures from a network interface; needs the optional package `pcap` and the right to capture (root or CAP_NET_RAW).
 * Nothing is ever sent, and a packet is seen even if the firewall drops it.
 *
 * The kernel's filter follows the schemes' hints as time goes by, and renew() changes it when asked, both without
 * missing or doubling a packet.
 */
export function liveCapture(options: LiveOptions): PacketSource {
  return liveCaptureBy(options, startCapture);
}

/** Like {@link liveCapture}, with capture processes that `start` makes: each just started, and told nothing yet. */
export function liveCaptureBy(options: LiveOptions, start: () => CaptureProcess): PacketSource {
  return new LiveCapture(options, start);
}

class LiveCapture implements PacketSource {
  readonly name: string;
  readonly loopback: boolean;
  readonly checksDestination = true;
  readonly #options: LiveOptions;
  readonly #start: () => CaptureProcess;
  #run: LiveRun | null = null;
  #sink: LossTeller | null = null;
  #closed = false;

  constructor(options: LiveOptions, start: () => CaptureProcess) {
    this.#options = options;
    this.#start = start;
    this.name = `interface ${options.interface}`;
    this.loopback = options.interface === 'lo';
  }

  async open(context: SourceContext): Promise<void> {
    if (this.#run !== null || this.#closed) {
      throw new KnockError('ERR_CAPTURE', `${this.name}: opened a second time (make a new source)`);
    }
    const { interface: device, uid = NOBODY, gid = NOBODY } = this.#options;
    const { clock } = context;
    const sink = tellingLosses(context.sink, printable(device), clock);
    this.#sink = sink;
    this.#run = new LiveRun({
      context,
      device,
      spawn: (filter) =>
        new LiveChild({ process: this.#start(), order: { device, filter, uid, gid }, clock, sink }),
      isUp: () => isSeen(device),
    });
    await this.#run.open();
  }

  async renew(needs: readonly CaptureNeed[]): Promise<void> {
    if (this.#run === null) throw new KnockError('ERR_CAPTURE', `${this.name}: not open (open it first)`);
    await this.#run.renew(needs);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#sink?.hush();
    await this.#run?.close();
  }
}

/** Whether the interface is up and has an address; one without waits the longer. */
function isSeen(device: string): boolean {
  try {
    return device in networkInterfaces();
  } catch {
    // There is no telling without a free file descriptor.
    return true;
  }
}

/** Starts a capture process, which waits for its order. */
export function startCapture(): ChildProcess {
  return fork(childPath(), {
    stdio: ['ignore', 'pipe', 'ignore', 'ipc'],
    // Without a terminal: whoever takes it over could write what root's shell reads there.
    detached: true,
    env: { PATH: process.env.PATH ?? '' },
    serialization: 'json',
  });
}

/** Beside us in dist/, or the source itself when run from a checkout. */
function childPath(): string {
  const built = fileURLToPath(new URL('./capture-child.js', import.meta.url));
  return existsSync(built) ? built : fileURLToPath(new URL('./child.ts', import.meta.url));
}
