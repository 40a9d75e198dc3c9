// The time of a packet, as it is handed on. V8 keeps a number of that size on the heap, and would make one for every
// packet; packets that come fast share their millisecond with the one before, and here its number too. What is
// allocated is then bounded by the time that passes, not by the packets.

/** Makes Unix milliseconds of a packet's time. */
export class Stamp {
  #second = -1;
  #millisecond = -1;
  // Starts as null, so that this holds a reference: of a field that only ever held numbers, every read makes a copy.
  #timeMs: number | null = null;

  /** The time of whole seconds and whole milliseconds. */
  at(second: number, millisecond: number): number {
    if (this.#timeMs === null || second !== this.#second || millisecond !== this.#millisecond) {
      this.#second = second;
      this.#millisecond = millisecond;
      this.#timeMs = second * 1000 + millisecond;
    }
    return this.#timeMs;
  }
}
