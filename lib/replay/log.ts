// The bytes of a replay file: a header, then a fixed number of slots, each free (all zero) or holding one record.
// The header says how many slots there are, so a file that was cut anywhere is known to be; a checksum in each record
// (first 8 bytes of SHA-256) tells a changed one. Records are only ever added at the first free slot. Big-endian.

import { hash } from 'node:crypto';

export const SLOT_BYTES = 40;
/** With the header, 64 KiB less 16 bytes. */
const LEAST_SLOTS = 1637;
/** How many slots a new file has per client: it is rewritten once they are used up. */
const SLOTS_PER_CLIENT = 4;

const MAGIC = 'pkreplay';
const VERSION = 1;
const HEADER = { magic: 0, version: 8, slots: 12, refuseUntil: 16, origin: 24, zero: 28 } as const;
const RECORD = { key: 0, counter: 16, slot: 24, kind: 28 } as const;
/** Of a record: a client's counter, or an id that is claimed once, whose counter is its end in Unix milliseconds. */
const KIND = { counter: 0, once: 1 } as const;
/** Same place in the header and in a record; over everything before it. */
const CHECK = 32;
const KEY_BYTES = 16;
const CHECK_BYTES = SLOT_BYTES - CHECK;
const MAX_COUNTER = 2n ** 64n - 1n;

/** Why the file was made: by a store that found none (or repaired one), or on purpose (`portknock init`). */
export type Origin = 'store' | 'deliberate';
const ORIGINS: readonly Origin[] = ['store', 'deliberate'];

/** Highest counter per client key. */
export type Floors = Map<string, bigint>;

/** Unix milliseconds after which it may be forgotten, per id that was claimed once. */
export type Once = Map<string, number>;

export interface LogHead {
  readonly origin: Origin;
  /** Unix milliseconds before which every claim is refused; 0 when none is. */
  readonly refuseUntil: number;
}

export interface DecodedLog extends LogHead {
  readonly floors: Floors;
  readonly once: Once;
  readonly slots: number;
  readonly usedSlots: number;
  /** `torn`: the last record was not written to its end, so it was never promised; `damaged`: anything else. */
  readonly state: 'sound' | 'torn' | 'damaged';
  /** What is wrong, when not sound. */
  readonly problem: string;
}

/** What the log knows a client by: the first 16 bytes of the SHA-256 of its name, one character per byte. */
export function clientKey(client: string): string {
  return hash('sha256', client, 'buffer').toString('latin1', 0, KEY_BYTES);
}

/** Whether a record can hold `counter`. */
export function isCounter(counter: bigint): boolean {
  return counter >= 0n && counter <= MAX_COUNTER;
}

/** How many slots a file for this many records gets. */
export function slotsFor(records: number): number {
  return Math.max(LEAST_SLOTS, records * SLOTS_PER_CLIENT);
}

/** A whole file with one record per client and id. */
export function encodeLog(
  floors: ReadonlyMap<string, bigint>,
  head: LogHead,
  once: ReadonlyMap<string, number> = new Map(),
): Buffer {
  const slots = slotsFor(floors.size + once.size);
  const bytes = Buffer.alloc((1 + slots) * SLOT_BYTES);
  encodeHeader(bytes, slots, head);
  let slot = 0;
  const add = (record: Omit<LogRecord, 'slot'>): void => {
    encodeRecord(bytes, offsetOf(slot), { ...record, slot });
    slot += 1;
  };
  for (const [key, counter] of floors) add({ key, counter, isOnce: false });
  for (const [key, untilMs] of once) add({ key, counter: BigInt(untilMs), isOnce: true });
  return bytes;
}

/** Where a slot stands in the file. */
export function offsetOf(slot: number): number {
  return (1 + slot) * SLOT_BYTES;
}

/** Reads a whole file; `foreign` is not a replay file at all, `newer` one of a later version. */
export function decodeLog(bytes: Buffer): DecodedLog | 'foreign' | 'newer' {
  const magic = bytes.toString('latin1', HEADER.magic, HEADER.version);
  if (!MAGIC.startsWith(magic)) return 'foreign';
  const head = decodeHeader(bytes);
  if (head === 'newer') return 'newer';
  const slots = Math.max(Math.floor(bytes.length / SLOT_BYTES) - 1, 0);
  const floors: Floors = new Map();
  const once: Once = new Map();
  const { problem, isTorn, usedSlots } = decodeSlots(bytes, slots, { floors, once });
  const outer = headProblem(bytes, head);
  return {
    origin: head?.origin ?? 'store',
    refuseUntil: head?.refuseUntil ?? 0,
    floors,
    once,
    slots,
    usedSlots,
    state: (outer ?? problem) === null ? 'sound' : outer === null && isTorn ? 'torn' : 'damaged',
    problem: outer ?? problem ?? '',
  };
}

function headProblem(bytes: Buffer, head: { slots: number } | null): string | null {
  if (head === null) return 'its header is damaged';
  const wanted = offsetOf(head.slots);
  if (bytes.length === wanted) return null;
  return `it has ${String(bytes.length)} bytes instead of ${String(wanted)}`;
}

interface SlotScan {
  readonly problem: string | null;
  /** The problem is an unfinished last record and nothing else. */
  readonly isTorn: boolean;
  readonly usedSlots: number;
}

/** Takes every good record, wherever it stands: a floor too many only refuses what was accepted once. */
function decodeSlots(
  bytes: Buffer,
  slots: number,
  { floors, once }: { readonly floors: Floors; readonly once: Once },
): SlotScan {
  let problem: string | null = null;
  let isTorn = false;
  let usedSlots = 0;
  for (let slot = 0; slot < slots; slot += 1) {
    const at = offsetOf(slot);
    if (isZero(bytes, at, at + SLOT_BYTES)) continue;
    const record = decodeRecord(bytes, at);
    if (record?.isOnce === true) once.set(record.key, Number(record.counter));
    else if (record !== null && record.counter >= (floors.get(record.key) ?? 0n)) {
      floors.set(record.key, record.counter);
    }
    const isGood = record?.slot === slot && slot === usedSlots;
    isTorn =
      problem === null && record === null && slot === usedSlots && isZero(bytes, at + CHECK, at + SLOT_BYTES);
    if (!isGood) problem ??= `slot ${String(slot)} does not hold what was written there`;
    usedSlots = slot + 1;
  }
  return { problem, isTorn, usedSlots };
}

function encodeHeader(bytes: Buffer, slots: number, { origin, refuseUntil }: LogHead): void {
  bytes.write(MAGIC, HEADER.magic, 'latin1');
  bytes.writeUInt32BE(VERSION, HEADER.version);
  bytes.writeUInt32BE(slots, HEADER.slots);
  bytes.writeBigUInt64BE(BigInt(Math.max(Math.ceil(refuseUntil), 0)), HEADER.refuseUntil);
  bytes.writeUInt32BE(ORIGINS.indexOf(origin), HEADER.origin);
  checksum(bytes, 0).copy(bytes, CHECK, 0, CHECK_BYTES);
}

function decodeHeader(bytes: Buffer): (LogHead & { slots: number }) | 'newer' | null {
  if (bytes.length < SLOT_BYTES || !hasGoodCheck(bytes, 0)) return null;
  if (bytes.readUInt32BE(HEADER.version) !== VERSION) return 'newer';
  const origin = ORIGINS[bytes.readUInt32BE(HEADER.origin)];
  if (origin === undefined) return null;
  const refuseUntil = Number(bytes.readBigUInt64BE(HEADER.refuseUntil));
  return { origin, refuseUntil, slots: bytes.readUInt32BE(HEADER.slots) };
}

export interface LogRecord {
  readonly key: string;
  readonly counter: bigint;
  /** False unless said. */
  readonly isOnce?: boolean;
  /** Its own place, so that a record that strayed is known. */
  readonly slot: number;
}

export function encodeRecord(bytes: Buffer, at: number, { key, counter, isOnce, slot }: LogRecord): void {
  bytes.write(key, at + RECORD.key, 'latin1');
  bytes.writeBigUInt64BE(counter, at + RECORD.counter);
  bytes.writeUInt32BE(slot, at + RECORD.slot);
  bytes.writeUInt32BE(isOnce === true ? KIND.once : KIND.counter, at + RECORD.kind);
  checksum(bytes, at).copy(bytes, at + CHECK, 0, CHECK_BYTES);
}

function decodeRecord(bytes: Buffer, at: number): LogRecord | null {
  if (!hasGoodCheck(bytes, at)) return null;
  return {
    key: bytes.toString('latin1', at + RECORD.key, at + RECORD.counter),
    counter: bytes.readBigUInt64BE(at + RECORD.counter),
    isOnce: bytes.readUInt32BE(at + RECORD.kind) === KIND.once,
    slot: bytes.readUInt32BE(at + RECORD.slot),
  };
}

function checksum(bytes: Buffer, at: number): Buffer {
  return hash('sha256', bytes.subarray(at, at + CHECK), 'buffer');
}

function hasGoodCheck(bytes: Buffer, at: number): boolean {
  return checksum(bytes, at).compare(bytes, at + CHECK, at + SLOT_BYTES, 0, CHECK_BYTES) === 0;
}

function isZero(bytes: Buffer, start: number, end: number): boolean {
  for (let i = start; i < end; i += 1) if (bytes[i] !== 0) return false;
  return true;
}
