// Which of two captures of one interface delivers a frame while one takes over from the other: whichever has it first,
// and its twin is swallowed. Frames are told apart by their content, and counted, since a sender may repeat one.

/** The capture that goes, and the one that takes over. */
export type Side = 'old' | 'new';

/** A frame as one of them brings it; `bytes` is borrowed. */
export interface SeenFrame {
  readonly bytes: Buffer;
  readonly start: number;
  readonly captured: number;
  readonly link: number;
  /** Unix milliseconds. */
  readonly timeMs: number;
}

/** Frames of one side that are remembered; beyond them the oldest is forgotten, and its twin delivered as well. */
const MOST_WAITING = 10_000;
/**
 * How much the two times of one packet may differ, milliseconds. The kernel stamps it for each socket in turn, which
 * takes microseconds unless the machine itself is halted in between. A frame that only the old capture saw must not
 * be taken for one, of the same content, that only the new one saw: both must run together for longer than this.
 */
const TOLERANCE_MS = 250;

/**
 * Tells twins from frames that only one side saw. To be asked about every frame of the old side from before the new
 * one opens its socket, and of the new side from its first.
 *
 * Each packet is admitted exactly once, in whatever order the two sides come. The one exception matters to no scheme:
 * of identical frames that follow one another, less than 250 ms apart, from before the new side begins until after
 * the old one ends, some may be missing when the new side is ahead.
 */
export class Handover {
  readonly #waiting = { old: new Waiting(), new: new Waiting() };

  /** Whether the frame is to be delivered: not when its twin was. */
  admits(side: Side, { bytes, start, captured, link, timeMs }: SeenFrame): boolean {
    const content = `${link} ${bytes.toString('latin1', start, start + captured)}`;
    if (this.#waiting[side === 'old' ? 'new' : 'old'].take(content, timeMs)) return false;
    this.#waiting[side].add(content, timeMs);
    return true;
  }
}

/** Frames of one side that the other has not shown yet. */
class Waiting {
  /** Times by content, oldest first. */
  readonly #times = new Map<string, number[]>();
  #count = 0;

  add(content: string, timeMs: number): void {
    if (this.#count === MOST_WAITING) this.#forgetOldest();
    const times = this.#times.get(content);
    if (times === undefined) this.#times.set(content, [timeMs]);
    else times.push(timeMs);
    this.#count += 1;
  }

  /** Takes the frame that is most likely the same packet; false when there is none. */
  take(content: string, timeMs: number): boolean {
    const times = this.#times.get(content);
    if (times === undefined) return false;
    let nearest = -1;
    let difference = TOLERANCE_MS + 1;
    times.forEach((time, at) => {
      if (Math.abs(time - timeMs) >= difference) return;
      nearest = at;
      difference = Math.abs(time - timeMs);
    });
    if (nearest >= 0) this.#remove(content, times, nearest);
    return nearest >= 0;
  }

  #forgetOldest(): void {
    for (const [content, times] of this.#times) {
      this.#remove(content, times, 0);
      return;
    }
  }

  #remove(content: string, times: number[], at: number): void {
    times.splice(at, 1);
    if (times.length === 0) this.#times.delete(content);
    this.#count -= 1;
  }
}
