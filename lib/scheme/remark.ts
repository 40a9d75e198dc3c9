// What a packet was to a scheme that has nothing to report of it: a knock on its way, or one that missed by a little.
// Only whoever explains a capture listens; without a listener none of this is made.

import type { PacketView } from '../packet/view.ts';

/** A packet of a sequence that is not complete. */
export interface AttemptRemark {
  /**
   * - `counted`: it was a knock of the client's sequence
   * - `repeated`: it was one that had been counted before
   * - `late`: it would have been one, but the time since the first knock is over
   * - `broken`: it came where another knock was expected, so that the sequence starts over
   */
  readonly kind: 'counted' | 'repeated' | 'late' | 'broken';
  readonly client: string;
  /** Which knock of the sequence it is, from 1; `null`: none. */
  readonly knock: number | null;
  /** The knocks of this attempt that were counted so far, with this one when it was. */
  readonly seen: readonly number[];
  /** How many there are in all. */
  readonly knocks: number;
}

/**
 * Why a packet that looked like a knock is none, whole list:
 * - `wrong-length`: on the knock port, but no knock has this length
 * - `wrong-hint`: on the knock port, but without the hint of the hour: an access key or a clock that differs, or junk
 * - `other-hour`: sealed with the gateway's access key, but at another hour by its sender's clock
 * - `unknown-tag`: of a one-time knock's length and ports, but with a tag of no client's knock
 * - `other-step`: a client's one-time knock of a step that is not valid now
 */
export type MissReason = 'wrong-length' | 'wrong-hint' | 'other-hour' | 'unknown-tag' | 'other-step';

/** A packet that looked like a knock. */
export interface MissRemark {
  readonly kind: 'missed';
  readonly reason: MissReason;
  readonly client?: string;
  /** How far the client's clock is ahead (behind: negative), milliseconds, where the packet says so. */
  readonly clockOffsetMs?: number;
}

/** What a scheme can remark on a packet. */
export type Remark = AttemptRemark | MissRemark;

/** Hears a scheme's remarks, while it looks at the packet; it keeps nothing of the packet itself. */
export type Observer = (remark: Remark, packet: PacketView) => void;

/** The first `count` knocks, for schemes with an order. */
export function firstKnocks(count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => i + 1);
}
