// Whether a kernel list takes one more address: a full one pushes out the oldest, which is another client's grant. To read
// a list takes longer than to write to it, so it is counted what is written, and read where that is not enough.

import { KnockError } from '../errors.ts';
import type { RecentList } from './iptables-lists.ts';
import type { RecentLists } from './recent-file.ts';

/** What is about to be opened. */
interface Wanted {
  readonly service: string;
  /** The list that tells what is open. */
  readonly gate: RecentList;
  readonly address: string;
  /** Whether it has to be known if the address is open already. */
  readonly isPart: boolean;
}

/** The room in the lists of a driver. */
export class ListRoom {
  /** How many addresses a list holds at most, by its name: as many as were read, and every one that was added since. */
  readonly #held = new Map<string, number>();
  /** The kernel module keeps the same one while it has lists. */
  #limit = 0;

  /** Other lists, or the same ones with other addresses. */
  reset(limit: number): void {
    this.#limit = limit;
    this.#held.clear();
  }

  /**
   * Counts one more. Whether the address was there, where that had to be known.
   *
   * @throws KnockError `ERR_FIREWALL_FULL`
   */
  async make(lists: RecentLists, { service, gate, address, isPart }: Wanted): Promise<boolean> {
    const atMost = this.#held.get(gate.name) ?? Number.POSITIVE_INFINITY;
    if (atMost < this.#limit && !isPart) {
      this.#held.set(gate.name, atMost + 1);
      return false;
    }
    const held = await lists.read(gate);
    const isKnown = held.includes(address);
    if (held.length >= this.#limit && !isKnown) {
      throw new KnockError(
        'ERR_FIREWALL_FULL',
        `service ${service} has ${held.length} open grants, the kernel's list holds no more (raise xt_recent's ip_list_tot)`,
      );
    }
    this.#held.set(gate.name, held.length + 1);
    return isKnown;
  }
}
