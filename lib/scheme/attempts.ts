// Half-finished sequences of plain ports: the one thing that is remembered about sources before they are
// authenticated, so it has a fixed size and constant cost. It is a set-associative cache: a source's prefix
// (/24, /56) picks a group of slots, the source one set within it, so a flood from one prefix can only push out
// neighbours. A full set gives up the attempt that has come least far; floods of first knocks cannot evict others.

import { randomInt } from 'node:crypto';
import type { PacketView } from '../packet/view.ts';

const WAYS = 16;
const SETS_PER_GROUP = 16;
const GROUPS = 256;
const SLOTS = GROUPS * SETS_PER_GROUP * WAYS;
/** Knocks of an attempt that are known again when they are retransmitted: the latest ones. */
const REMEMBERED = 8;
/** int32 fields of a slot. */
const SRC = 0;
const DOOR = 4;
const STAGE = 5; // knocks seen so far; 0 = free
const TIMEOUT = 6; // milliseconds
const DONE = 7; // 1 = all knocks seen; kept to know their retransmits
const SEEN = 8; // hashes of the latest knocks, as a ring
const FIELDS = SEEN + REMEMBERED;

/** Which sequence a slot belongs to; a door is a client (sequence) or a client's step (one-time over tcp). */
export type DoorId = number;

/** The bounded table of attempts. All methods cost at most {@link WAYS} comparisons and allocate nothing. */
export class AttemptTable {
  readonly #fields = new Int32Array(SLOTS * FIELDS);
  readonly #startMs = new Float64Array(SLOTS);
  readonly #seed = randomInt(2 ** 31);

  /** First slot of the set that holds the attempts of this packet's source. */
  setOf(packet: PacketView): number {
    const group = this.#mix(packet.src0, prefixWord1(packet), packet.family === 4 ? packet.src3 >>> 8 : 0);
    const host = this.#mix(packet.src1, packet.src2, packet.src3);
    return ((group & (GROUPS - 1)) * SETS_PER_GROUP + (host & (SETS_PER_GROUP - 1))) * WAYS;
  }

  /** The next slot at or after `from` in `set` with an attempt of this packet's source, finished ones too, or -1. */
  next(set: number, from: number, packet: PacketView): number {
    const fields = this.#fields;
    for (let slot = from; slot < set + WAYS; slot += 1) {
      const at = slot * FIELDS;
      if (fields[at + STAGE] === 0 || !isSource(fields, at, packet)) continue;
      if (this.#isLive(slot, packet)) return slot;
      fields[at + STAGE] = 0;
    }
    return -1;
  }

  /** As {@link AttemptTable.next}, for attempts that are not finished and whose time is over, before next() forgets them. */
  nextLate(set: number, from: number, packet: PacketView): number {
    for (let slot = from; slot < set + WAYS; slot += 1) {
      const isUnderWay = this.stage(slot) > 0 && !this.isDone(slot);
      if (isUnderWay && isSource(this.#fields, slot * FIELDS, packet) && !this.#isLive(slot, packet))
        return slot;
    }
    return -1;
  }

  door(slot: number): DoorId {
    return this.#fields[slot * FIELDS + DOOR] ?? 0;
  }

  stage(slot: number): number {
    return this.#fields[slot * FIELDS + STAGE] ?? 0;
  }

  isDone(slot: number): boolean {
    return this.#fields[slot * FIELDS + DONE] === 1;
  }

  /** Whether the packet was a knock of this attempt before: same ports, and for TCP the same sequence number. */
  hasSeen(slot: number, packet: PacketView): boolean {
    const at = slot * FIELDS + SEEN;
    const hash = this.#mix(portsOf(packet), packet.seq, packet.protocol);
    const count = Math.min(this.stage(slot), REMEMBERED);
    for (let i = 0; i < count; i += 1) if (this.#fields[at + i] === hash) return true;
    return false;
  }

  /** Records that the packet was the attempt's next knock. */
  advance(slot: number, packet: PacketView): void {
    const at = slot * FIELDS;
    this.#remember(at, packet);
    this.#fields[at + STAGE] = this.stage(slot) + 1;
  }

  /** Keeps the attempt, until its time is over, only to know retransmits of its knocks. */
  finish(slot: number): void {
    this.#fields[slot * FIELDS + DONE] = 1;
  }

  remove(slot: number): void {
    this.#fields[slot * FIELDS + STAGE] = 0;
  }

  /** Starts an attempt at stage 1, in a free slot or in place of the one that has come least far. */
  start(set: number, door: DoorId, packet: PacketView, timeoutMs: number): void {
    const slot = this.#slotFor(set, packet);
    const at = slot * FIELDS;
    const fields = this.#fields;
    fields[at + SRC] = packet.src0;
    fields[at + SRC + 1] = packet.src1;
    fields[at + SRC + 2] = packet.src2;
    fields[at + SRC + 3] = packet.src3;
    fields[at + DOOR] = door;
    fields[at + STAGE] = 0;
    fields[at + TIMEOUT] = timeoutMs;
    fields[at + DONE] = 0;
    this.#startMs[slot] = packet.timeMs;
    this.advance(slot, packet);
  }

  #slotFor(set: number, packet: PacketView): number {
    let worst = set;
    for (let slot = set; slot < set + WAYS; slot += 1) {
      if (this.stage(slot) === 0 || !this.#isLive(slot, packet)) return slot;
      const rank = this.#rank(slot);
      const worstRank = this.#rank(worst);
      const isOlder = (this.#startMs[slot] ?? 0) < (this.#startMs[worst] ?? 0);
      if (rank < worstRank || (rank === worstRank && isOlder)) worst = slot;
    }
    return worst;
  }

  #rank(slot: number): number {
    return this.isDone(slot) ? 0 : this.stage(slot);
  }

  /** In both directions: an attempt from the future is one from before the clock was set back. */
  #isLive(slot: number, packet: PacketView): boolean {
    const elapsedMs = packet.timeMs - (this.#startMs[slot] ?? 0);
    return Math.abs(elapsedMs) <= (this.#fields[slot * FIELDS + TIMEOUT] ?? 0);
  }

  #remember(at: number, packet: PacketView): void {
    const place = (this.#fields[at + STAGE] ?? 0) % REMEMBERED;
    this.#fields[at + SEEN + place] = this.#mix(portsOf(packet), packet.seq, packet.protocol);
  }

  // Seeded multiplicative mixing; the last rounds carry the high bits down, where the index is taken from.
  #mix(a: number, b: number, c: number): number {
    let hash = this.#seed;
    hash = Math.imul(hash ^ a, 0x9e3779b1);
    hash = Math.imul(hash ^ (hash >>> 15) ^ b, 0x85ebca77);
    hash = Math.imul(hash ^ (hash >>> 13) ^ c, 0xc2b2ae3d);
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    return hash ^ (hash >>> 16);
  }
}

function prefixWord1(packet: PacketView): number {
  return packet.family === 4 ? 0 : packet.src1 & ~0xff;
}

function portsOf(packet: PacketView): number {
  return (packet.srcPort << 16) | packet.dstPort;
}

function isSource(fields: Int32Array, at: number, packet: PacketView): boolean {
  return (
    fields[at + SRC + 3] === packet.src3 &&
    fields[at + SRC + 2] === packet.src2 &&
    fields[at + SRC + 1] === packet.src1 &&
    fields[at + SRC] === packet.src0
  );
}
