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
/** int32 fields of a slot. */
const SRC = 0;
const DOOR = 4;
const STAGE = 5; // knocks seen so far; 0 = free
const LAST_PORTS = 6; // source and destination port of the last knock
const LAST_SEQ = 7;
const FIELDS = 8;

/** Which sequence a slot belongs to; a door is a client (sequence) or a client's step (one-time over tcp). */
export type DoorId = number;

/** The bounded table of attempts. All methods cost at most {@link WAYS} comparisons and allocate nothing. */
export class AttemptTable {
  readonly #fields = new Int32Array(SLOTS * FIELDS);
  readonly #deadlineMs = new Float64Array(SLOTS);
  readonly #seed = randomInt(2 ** 31);

  /** First slot of the set that holds the attempts of this packet's source. */
  setOf(packet: PacketView): number {
    const group = this.#mix(packet.src0, prefixWord1(packet), packet.family === 4 ? packet.src3 >>> 8 : 0);
    const host = this.#mix(packet.src1, packet.src2, packet.src3);
    return ((group & (GROUPS - 1)) * SETS_PER_GROUP + (host & (SETS_PER_GROUP - 1))) * WAYS;
  }

  /** The next slot at or after `from` in `set` with a live attempt of this packet's source, or -1. */
  next(set: number, from: number, packet: PacketView): number {
    const fields = this.#fields;
    for (let slot = from; slot < set + WAYS; slot += 1) {
      const at = slot * FIELDS;
      if (fields[at + STAGE] === 0 || !isSource(fields, at, packet)) continue;
      if ((this.#deadlineMs[slot] ?? 0) >= packet.timeMs) return slot;
      fields[at + STAGE] = 0;
    }
    return -1;
  }

  door(slot: number): DoorId {
    return this.#fields[slot * FIELDS + DOOR] ?? 0;
  }

  stage(slot: number): number {
    return this.#fields[slot * FIELDS + STAGE] ?? 0;
  }

  /** Whether the packet is the last knock of this attempt once more: same ports, and for TCP the same sequence number. */
  isRepeat(slot: number, packet: PacketView): boolean {
    const at = slot * FIELDS;
    return this.#fields[at + LAST_PORTS] === portsOf(packet) && this.#fields[at + LAST_SEQ] === packet.seq;
  }

  /** Records that the packet was the attempt's next knock. */
  advance(slot: number, packet: PacketView): void {
    const at = slot * FIELDS;
    this.#fields[at + STAGE] = (this.#fields[at + STAGE] ?? 0) + 1;
    this.#remember(at, packet);
  }

  remove(slot: number): void {
    this.#fields[slot * FIELDS + STAGE] = 0;
  }

  /** Starts an attempt at stage 1, in a free slot or in place of the one that has come least far. */
  start(set: number, door: DoorId, packet: PacketView, timeoutMs: number): void {
    const slot = this.#slotFor(set, packet.timeMs);
    const at = slot * FIELDS;
    const fields = this.#fields;
    fields[at + SRC] = packet.src0;
    fields[at + SRC + 1] = packet.src1;
    fields[at + SRC + 2] = packet.src2;
    fields[at + SRC + 3] = packet.src3;
    fields[at + DOOR] = door;
    fields[at + STAGE] = 1;
    this.#remember(at, packet);
    this.#deadlineMs[slot] = packet.timeMs + timeoutMs;
  }

  #slotFor(set: number, nowMs: number): number {
    let worst = set;
    for (let slot = set; slot < set + WAYS; slot += 1) {
      const stage = this.stage(slot);
      const deadline = this.#deadlineMs[slot] ?? 0;
      if (stage === 0 || deadline < nowMs) return slot;
      const worstStage = this.stage(worst);
      if (stage < worstStage || (stage === worstStage && deadline < (this.#deadlineMs[worst] ?? 0)))
        worst = slot;
    }
    return worst;
  }

  #remember(at: number, packet: PacketView): void {
    this.#fields[at + LAST_PORTS] = portsOf(packet);
    this.#fields[at + LAST_SEQ] = packet.seq;
  }

  // Seeded multiplicative mixing: an outsider cannot choose addresses that share a set.
  #mix(a: number, b: number, c: number): number {
    let hash = this.#seed;
    hash = Math.imul(hash ^ a, 0x9e3779b1);
    hash = Math.imul(hash ^ (hash >>> 15) ^ b, 0x85ebca77);
    hash = Math.imul(hash ^ (hash >>> 13) ^ c, 0xc2b2ae3d);
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
