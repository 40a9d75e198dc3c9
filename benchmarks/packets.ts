// Packets for the benchmarks: decoded views of frames, and numbers that repeat from run to run.

import { decode } from '../lib/packet/decode.ts';
import { LINK_ETHERNET } from '../lib/packet/link.ts';
import { PacketView } from '../lib/packet/view.ts';
import type { Match, Scheme } from '../lib/scheme/scheme.ts';
import { frame, type FrameOptions } from '../test/support/frames.ts';
import { must } from './bench.ts';

/** How many different inputs a row goes round: enough that no branch is learnt by heart. A power of two. */
export const ROUND = 1024;

/** `make(i)` for each input of a round. */
export function round<T>(make: (index: number) => T): readonly T[] {
  return Array.from({ length: ROUND }, (_, i) => make(i));
}

/** Calls `run` with the inputs in turn. */
export function inTurn<T, R>(inputs: readonly T[], run: (input: T) => R): () => R {
  let next = 0;
  const first = inputs[0];
  if (first === undefined) throw new RangeError('inputs must not be empty');
  return () => {
    next = next + 1 === inputs.length ? 0 : next + 1;
    return run(inputs[next] ?? first);
  };
}

/** A frame as the schemes see it, in a view of its own. */
export function viewOf(options: FrameOptions, timeMs: number): PacketView {
  const bytes = frame(options);
  const view = new PacketView();
  const fault = decode(view, bytes, 0, bytes.length, bytes.length, LINK_ETHERNET, timeMs);
  must(fault === null, `frame was not decoded: ${fault ?? ''}`);
  return view;
}

/** A scheme's look at a packet when nothing was claimed before. */
export function matcher(scheme: Scheme): (view: PacketView) => Match | null {
  const history = { floor: () => null };
  return (view) => scheme.match(view, history);
}

/** Repeatable noise: the same numbers from 0 to `below` - 1 in every run (xorshift32). */
export function noise(seed = 0x9e3779b9): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

/** `length` bytes of noise. */
export function noiseBytes(next: (below: number) => number, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => next(256)));
}
