// The gateway's own addresses: a packet that is not addressed to one of them is not a knock on this host, and one
// that claims to come from one of them is forged. They change (DHCP, interfaces up and down), so they are read again.

import { networkInterfaces } from 'node:os';
import { parseAddress, type Address } from '../address.ts';
import type { Clock } from '../clock.ts';
import type { PacketView } from '../packet/view.ts';

/** Reading the host's addresses costs about 0.1 ms; a flood must not make us do it more often than this. */
const REREAD_MS = 1000;
/** A source is looked up on the way of every good knock, and hardly ever is one of ours. */
const REREAD_FOR_SOURCE_MS = 60_000;

/** The own addresses of this host. */
export class LocalAddresses {
  readonly #clock: Clock;
  readonly #read: () => readonly string[];
  #addresses: readonly Address[] = [];
  #readAtMs = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, read: () => readonly string[] = hostAddresses) {
    this.#clock = clock;
    this.#read = read;
  }

  /** By what was true a minute ago at most. */
  has({ family, words }: Address): boolean {
    return this.#find(REREAD_FOR_SOURCE_MS, family, words[0], words[1], words[2], words[3]);
  }

  /** Whether the packet is addressed to this host; allocates nothing. */
  isDestination(packet: PacketView): boolean {
    return this.#find(REREAD_MS, packet.family, packet.dst0, packet.dst1, packet.dst2, packet.dst3);
  }

  #find(rereadMs: number, family: number, a: number, b: number, c: number, d: number): boolean {
    if (this.#includes(family, a, b, c, d)) return true;
    const now = this.#clock.now();
    if (Math.abs(now - this.#readAtMs) < rereadMs) return false;
    this.#readAtMs = now;
    try {
      this.#addresses = this.#read().flatMap((text) => parseAddress(text) ?? []);
    } catch {
      // It takes a file descriptor, and there may be none; those of a second ago are the best that there is.
    }
    return this.#includes(family, a, b, c, d);
  }

  #includes(family: number, a: number, b: number, c: number, d: number): boolean {
    for (const address of this.#addresses) {
      const words = address.words;
      if (words[3] === d && words[2] === c && words[1] === b && words[0] === a && address.family === family) {
        return true;
      }
    }
    return false;
  }
}

function hostAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address));
}
