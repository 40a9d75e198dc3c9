// A capture process that does what a test says, for the side that keeps capture processes.

import { EventEmitter } from 'node:events';
import { PassThrough } from 'node:stream';
import {
  encodeFrame,
  FRAME_HEADER,
  SNAP_LENGTH,
  type ChildOrder,
  type ChildReport,
} from '../../lib/capture/frames.ts';
import { LiveChild } from '../../lib/capture/live-child.ts';
import { LiveRun } from '../../lib/capture/live-run.ts';
import type { SourceContext } from '../../lib/capture/source.ts';

export class FakeProcess extends EventEmitter {
  readonly pid: number | undefined;
  readonly stdout = new PassThrough();
  connected = true;
  order: ChildOrder | null = null;
  ended: string | null = null;
  /** Whether it ends when its parent disconnects. */
  obedient = true;

  constructor(pid?: number) {
    super();
    this.pid = pid;
  }

  send(order: ChildOrder, sent: () => void): void {
    this.order = order;
    sent();
  }

  report(report: ChildReport): void {
    this.emit('message', report);
  }

  ready(): void {
    this.report({ kind: 'ready', droppedRoot: true });
  }

  /** Writes a packet of `text`. */
  packet(text: string, timeMs: number): void {
    this.packets([text], timeMs);
  }

  /** Writes packets at once. */
  packets(texts: readonly string[], timeMs: number): void {
    const frames = texts.map((text) => {
      const header = Buffer.alloc(16);
      [Math.floor(timeMs / 1000), (timeMs % 1000) * 1000, text.length, text.length].forEach((value, i) =>
        header.writeUInt32LE(value, 4 * i),
      );
      const frame = Buffer.alloc(FRAME_HEADER + SNAP_LENGTH);
      return frame.subarray(0, encodeFrame(frame, header, Buffer.from(text), 1));
    });
    this.stdout.write(Buffer.concat(frames));
  }

  disconnect(): void {
    this.connected = false;
    if (this.obedient && this.ended === null) this.exit('disconnected');
  }

  kill(signal: string): void {
    if (this.ended === null) this.exit(signal);
  }

  exit(how: string): void {
    this.ended = how;
    setImmediate(() => {
      this.emit('exit', how === 'disconnected' ? 0 : null, how === 'disconnected' ? null : how);
      this.stdout.end();
    });
  }
}

export interface FakeCapture {
  readonly run: LiveRun;
  /** In the order of their starts. */
  readonly processes: readonly FakeProcess[];
  /** The process that was started last. */
  readonly newest: FakeProcess;
}

/** A live capture of interface eth0 with fake processes. */
export function fakeCapture(context: SourceContext): FakeCapture {
  const processes: FakeProcess[] = [];
  const { clock, sink } = context;
  const run = new LiveRun({
    context,
    device: 'eth0',
    spawn(filter) {
      const process = new FakeProcess(processes.length + 1);
      processes.push(process);
      return new LiveChild({ process, order: { device: 'eth0', filter, uid: 1, gid: 1 }, clock, sink });
    },
  });
  return {
    run,
    processes,
    get newest() {
      const process = processes.at(-1);
      if (process === undefined) throw new Error('no process was started');
      return process;
    },
  };
}
