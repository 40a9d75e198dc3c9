// What passes between the capture process and its parent: orders and reports as messages, packets as frames on a pipe.

import { Stamp } from './stamp.ts';

/** Bytes kept of a packet: every header we read, and the longest knock (an SPA datagram has 480). */
export const SNAP_LENGTH = 1024;

/** A frame: captured length, length on the wire, link type, seconds and microseconds of the capture; u32, host order. */
const CAPTURED = 0;
const WIRE = 4;
const LINK = 8;
const SECONDS = 12;
const MICROSECONDS = 16;
export const FRAME_HEADER = 20;

/** What the parent asks for. */
export interface ChildOrder {
  readonly device: string;
  readonly filter: string;
  /** Whom to become once the capture is open. */
  readonly uid: number;
  readonly gid: number;
}

/** `down` and `deaf` also come after it was ready: its interface went down, or did so for a moment. */
export type ChildFault = 'absent' | 'unbuilt' | 'permission' | 'interface' | 'down' | 'deaf' | 'other';

/** What the child says; it ends after `failed`. */
export type ChildReport =
  | { readonly kind: 'ready'; readonly droppedRoot: boolean }
  | { readonly kind: 'dropped'; readonly count: number }
  | { readonly kind: 'failed'; readonly fault: ChildFault; readonly message: string };

/** Writes one packet, as libpcap gives it, into `frame`; returns the frame's length. */
export function encodeFrame(frame: Buffer, header: Buffer, packet: Buffer, link: number): number {
  const captured = Math.min(header.readUInt32LE(8), SNAP_LENGTH);
  frame.writeUInt32LE(captured, CAPTURED);
  frame.writeUInt32LE(header.readUInt32LE(12), WIRE);
  frame.writeUInt32LE(link, LINK);
  frame.writeUInt32LE(header.readUInt32LE(0), SECONDS);
  frame.writeUInt32LE(header.readUInt32LE(4), MICROSECONDS);
  packet.copy(frame, FRAME_HEADER, 0, captured);
  return FRAME_HEADER + captured;
}

/** Receives whole frames; `bytes` is borrowed until the call returns. */
export type FrameHandler = (
  bytes: Buffer,
  start: number,
  captured: number,
  wire: number,
  link: number,
  timeMs: number,
) => void;

/** Cuts the pipe's chunks into frames, in place; only a frame that straddles two chunks is copied. */
export class FrameReader {
  readonly #handle: FrameHandler;
  readonly #stamp = new Stamp();
  readonly #straddler = Buffer.alloc(FRAME_HEADER + SNAP_LENGTH);
  #held = 0;

  constructor(handle: FrameHandler) {
    this.#handle = handle;
  }

  /** Takes a chunk. @throws RangeError when it cannot have come from encodeFrame */
  push(chunk: Buffer): void {
    let at = this.#finishStraddler(chunk);
    while (chunk.length - at >= FRAME_HEADER) {
      const length = lengthAt(chunk, at);
      if (chunk.length - at < length) break;
      this.#deliver(chunk, at);
      at += length;
    }
    chunk.copy(this.#straddler, this.#held, at);
    this.#held += chunk.length - at;
  }

  #finishStraddler(chunk: Buffer): number {
    if (this.#held === 0) return 0;
    let at = this.#fill(chunk, 0, FRAME_HEADER);
    if (this.#held < FRAME_HEADER) return at;
    const length = lengthAt(this.#straddler, 0);
    at = this.#fill(chunk, at, length);
    if (this.#held < length) return at;
    this.#held = 0;
    this.#deliver(this.#straddler, 0);
    return at;
  }

  #fill(chunk: Buffer, at: number, upTo: number): number {
    const end = Math.min(chunk.length, at + Math.max(0, upTo - this.#held));
    this.#held += chunk.copy(this.#straddler, this.#held, at, end);
    return end;
  }

  #deliver(bytes: Buffer, at: number): void {
    const millisecond = Math.floor(bytes.readUInt32LE(at + MICROSECONDS) / 1000);
    this.#handle(
      bytes,
      at + FRAME_HEADER,
      bytes.readUInt32LE(at + CAPTURED),
      bytes.readUInt32LE(at + WIRE),
      bytes.readUInt32LE(at + LINK),
      this.#stamp.at(bytes.readUInt32LE(at + SECONDS), millisecond),
    );
  }
}

function lengthAt(bytes: Buffer, at: number): number {
  const captured = bytes.readUInt32LE(at + CAPTURED);
  if (captured > SNAP_LENGTH)
    throw new RangeError(`captured length must be at most ${SNAP_LENGTH}, got ${captured}`);
  return FRAME_HEADER + captured;
}
