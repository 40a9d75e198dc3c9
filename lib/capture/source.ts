// What every packet source is: something that hands raw frames to a sink until it is closed.

import type { Clock } from '../clock.ts';
import type { CaptureNeed } from '../scheme/scheme.ts';

/** Where a source delivers. Calls are synchronous; `bytes` is borrowed until the call returns. */
export interface PacketSink {
  /**
   * One captured frame: `captured` bytes of `bytes` from `start` on, of a frame that was `wire` bytes long,
   * of link type `link` (numbers of packet/link.ts), captured at `timeMs` (Unix milliseconds).
   */
  frame(bytes: Buffer, start: number, captured: number, wire: number, link: number, timeMs: number): void;
  /** The source is exhausted (a savefile's end). Never called after close(). */
  end(): void;
  /** Something the operator should know; the source goes on, or tries to. */
  warning(message: string): void;
  /** `count` more packets were lost before they reached us. */
  dropped(count: number): void;
  /** The source failed for good. */
  error(error: Error): void;
}

/** What a source is told when it is opened. */
export interface SourceContext {
  readonly sink: PacketSink;
  readonly clock: Clock;
  /** What the configured schemes want to see; a source may use it to filter early, or ignore it. */
  readonly needs: readonly CaptureNeed[];
  /** Resolves when frames are looked at. A source that can wait (a savefile) delivers none before. At once unless given. */
  readonly ready?: Promise<void>;
}

/** A source of packets. */
export interface PacketSource {
  readonly name: string;
  /** True when packets with a loopback source address are to be expected (interface `lo`, a socket on 127.0.0.1). */
  readonly loopback: boolean;
  /** True when each packet's destination must be an address of this host (live capture). */
  readonly checksDestination: boolean;
  /** Resolves when capture really runs. @throws KnockError `ERR_PCAP_*`, `ERR_CAPTURE*`, `ERR_SAVEFILE` */
  open(context: SourceContext): Promise<void>;
  /**
   * Takes other needs while it runs, missing and doubling no packet; resolves when it sees what they ask for. Calls
   * are put in turn. A source without it cannot: it sees the same packets whatever the needs are.
   * @throws KnockError `ERR_CAPTURE*`, `ERR_PCAP_*`: the earlier needs stay
   */
  renew?(needs: readonly CaptureNeed[]): Promise<void>;
  /** Resolves soon, also when no packet arrives; no frame is delivered afterwards. Idempotent. */
  close(): Promise<void>;
}
