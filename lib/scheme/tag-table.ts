// The tags that are valid now: found by their first eight bytes as two int32 words, so that junk costs one look-up
// that misses and no cryptography; the one candidate is then compared in constant time.

import { equalBytes } from '../crypto/mac.ts';

/** A tag that is expected, with what it stands for. */
export interface TagEntry<T> {
  readonly tag: Buffer;
  readonly value: T;
}

/** A set of 16-byte tags. */
export class TagTable<T> {
  readonly #byFirstWord = new Map<number, readonly TagEntry<T>[]>();

  add(entry: TagEntry<T>): void {
    const key = entry.tag.readInt32BE(0);
    this.#byFirstWord.set(key, [...(this.#byFirstWord.get(key) ?? []), entry]);
  }

  remove(entry: TagEntry<T>): void {
    const key = entry.tag.readInt32BE(0);
    const left = (this.#byFirstWord.get(key) ?? []).filter((other) => other !== entry);
    if (left.length > 0) this.#byFirstWord.set(key, left);
    else this.#byFirstWord.delete(key);
  }

  /** The entry whose tag stands at `bytes[start..start+16)`, or null. */
  find(bytes: Buffer, start: number): T | null {
    const candidates = this.#byFirstWord.get(bytes.readInt32BE(start));
    if (candidates === undefined) return null;
    const second = bytes.readInt32BE(start + 4);
    for (const entry of candidates) {
      if (entry.tag.readInt32BE(4) !== second) continue;
      if (equalBytes(entry.tag, bytes.subarray(start, start + entry.tag.length))) return entry.value;
    }
    return null;
  }
}
