// What the reader of savefiles needs to know of a format (savefile-pcap.ts, savefile-pcapng.ts).

import type { KnockError } from '../errors.ts';

/** The longest packet that is believed; libpcap's own limit. */
export const MOST_PACKET_BYTES = 256 * 1024;
/** What must be there to tell the format. */
export const MAGIC_BYTES = 4;

/** Makes the error for a savefile that cannot be read on: `reason` is what is wrong with the record at hand. */
export type Damage = (reason: string) => KnockError;

/** A savefile format: how long the next record is, and what it means. */
export interface RecordFormat {
  /** Bytes needed to tell a record's size. */
  headBytes: number;
  /** The size of the record at `at`, of which `headBytes` are there. @throws what {@link Damage} makes */
  sizeOf(bytes: Buffer, at: number): number;
  /** True when the record, of which `headBytes` are there, holds nothing for us, however long it is. */
  skips(bytes: Buffer, at: number): boolean;
  /** Reads the whole record of `size` bytes. @throws what {@link Damage} makes */
  take(bytes: Buffer, at: number, size: number): void;
}
