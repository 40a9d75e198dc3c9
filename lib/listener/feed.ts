// Gives a capture's packets to the pipeline one at a time: those that come while a knock is being decided wait, so that
// each finds what the ones before it left. Deciding here never waits for a disk or a firewall, so they wait for the rest
// of the source's chunk at most.

import type { PacketSink } from '../capture/source.ts';
import type { Findings } from './findings.ts';
import type { PacketClock } from './packet-clock.ts';
import type { Pipeline } from './pipeline.ts';

type Frame = Parameters<PacketSink['frame']>;

interface FeedParts {
  readonly pipeline: Pipeline;
  readonly clock: PacketClock;
  readonly findings: Findings;
  /** Told why a packet cannot be looked at. */
  readonly unread: (why: string) => void;
}

/** About where dates end. A savefile can say any time, and at one far beyond the schemes would count steps for ever. */
const MOST_TIME_MS = 8e15;

/** The frames of a capture, in order. */
export class Feed {
  readonly #parts: FeedParts;
  #first: number | null = null;
  #last = 0;
  #queue: Frame[] = [];
  #deciding: Promise<void> | null = null;

  constructor(parts: FeedParts) {
    this.#parts = parts;
  }

  /** Of the first and the last packet. */
  get timeMs(): readonly [first: number, last: number] | null {
    return this.#first === null ? null : [this.#first, this.#last];
  }

  /** Takes one frame; see {@link PacketSink.frame}. */
  readonly frame: PacketSink['frame'] = (bytes, start, captured, wire, link, timeMs) => {
    if (this.#deciding !== null) {
      const copy = Buffer.from(bytes.subarray(start, start + captured));
      this.#queue.push([copy, 0, captured, wire, link, timeMs]);
    } else if (this.#take(bytes, start, captured, wire, link, timeMs)) {
      this.#deciding = this.#decide();
    }
  };

  /** Resolves when every packet so far has been decided. */
  async settled(): Promise<void> {
    await this.#deciding;
  }

  /** Whether a knock is to be decided now. */
  #take(...[bytes, start, captured, wire, link, timeMs]: Frame): boolean {
    const { pipeline, clock, findings, unread } = this.#parts;
    findings.number += 1;
    if (!(Math.abs(timeMs) <= MOST_TIME_MS)) {
      unread('bad-time');
      return false;
    }
    this.#first ??= timeMs;
    this.#last = timeMs;
    clock.moveTo(timeMs);
    pipeline.frame(bytes, start, captured, wire, link, timeMs);
    return findings.waits;
  }

  async #decide(): Promise<void> {
    const { pipeline, findings } = this.#parts;
    let taken = 0;
    while (findings.waits) {
      await pipeline.settled();
      findings.decide();
      for (let frame = this.#queue[taken]; frame !== undefined; frame = this.#queue[taken]) {
        taken += 1;
        if (this.#take(...frame)) break;
      }
    }
    this.#queue = [];
    this.#deciding = null;
  }
}
