// What explain() tells: of each packet that touched a scheme what the gateway would have done, and in the end of each
// source what became of it.

import type { Grant } from '../firewall/driver.ts';
import type { AttemptRemark, MissReason } from '../scheme/remark.ts';
import type { RejectReason } from '../scheme/scheme.ts';

/**
 * What the gateway would have done with a packet:
 * - `opened`, `closed`, `refused`: it was a whole knock, or the last packet of one
 * - `duplicate`: the client's last knock once more from the same source, which is no second one
 * - `counted`, `repeated`, `late`, `broken`: a packet of a sequence that is not complete ({@link AttemptRemark})
 * - `missed`: it looked like a knock and is none, so nothing happened
 */
export type Verdict = 'opened' | 'closed' | 'refused' | 'duplicate' | AttemptRemark['kind'] | 'missed';

/** One packet that touched a scheme. */
export interface ExplainedPacket {
  /** Its number in the capture, from 1. */
  readonly number: number;
  /** Unix milliseconds, by the capture. */
  readonly timeMs: number;
  readonly source: string;
  readonly destination: string;
  readonly protocol: 'tcp' | 'udp';
  /** Where it was sent to. */
  readonly port: number;
  readonly scheme: string;
  readonly verdict: Verdict;
  readonly client?: string;
  /** With `refused` and `missed`. */
  readonly reason?: RejectReason | MissReason;
  /** How far the client's clock is ahead (behind: negative), milliseconds, where the packet says so. */
  readonly clockOffsetMs?: number;
  /** Of a sequence: which knock it is (from 1; `null`: none of them), those counted so far, and how many there are. */
  readonly knock?: number | null;
  readonly seen?: readonly number[];
  readonly knocks?: number;
  /** What was opened, or closed again. */
  readonly grants?: readonly Grant[];
  /** The same in words. No secret is in them; what is said of an attempt does not name its next port. */
  readonly why: string;
}

/** A client's sequences from one source that were not completed. */
export interface Unfinished {
  readonly client: string;
  readonly attempts: number;
  /** Of the last one: which knocks came, and how many there are. */
  readonly seen: readonly number[];
  readonly knocks: number;
  /** Nothing more came, or a knock came too late, or one out of its turn. */
  readonly end: 'open' | 'late' | 'broken';
}

/** What became of the packets of one source. */
export interface ExplainedSource {
  readonly source: string;
  /** Clients whose knocks it sent, as far as they were known. */
  readonly clients: readonly string[];
  /** Knocks that opened something. */
  readonly opened: number;
  /** Knocks that closed what was open. */
  readonly closed: number;
  readonly duplicates: number;
  readonly refused: Readonly<Partial<Record<RejectReason, number>>>;
  readonly missed: Readonly<Partial<Record<MissReason, number>>>;
  readonly unfinished: readonly Unfinished[];
}

/** What a capture came to. */
export interface Explanation {
  /** Packets in the capture. */
  readonly packets: number;
  /** Unix milliseconds of the first and the last packet; `null` when there is none. */
  readonly timeMs: readonly [first: number, last: number] | null;
  /** Packets that were not offered to the schemes, by why (`truncated`, `fragment`, `not-ours`, `bad-time`...). */
  readonly unread: Readonly<Record<string, number>>;
  /** Packets that looked like a knock, and were too many to be told one by one. */
  readonly untold: number;
  /** In the order in which they first came. */
  readonly sources: readonly ExplainedSource[];
  /** Packets of sources that were too many to be listed. */
  readonly unlisted: number;
}
