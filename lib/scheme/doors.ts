// The state machine of knocks without tags: doors with an ordered list of ports, and sources on their way through
// them. Used by plain sequences (every SYN and datagram counts) and by one-time over tcp (its port range counts).

import { TCP, type PacketView } from '../packet/view.ts';
import { AttemptTable } from './attempts.ts';
import { firstKnocks, type AttemptRemark, type Observer } from './remark.ts';
import type { Match } from './scheme.ts';

/** A sequence of ports that leads to a request. */
export interface Door {
  /** Knocks in order, as {@link knockKey}. */
  readonly keys: readonly number[];
  readonly timeoutMs: number;
  readonly request: Match;
  /** Ports whose packets start an attempt over when they are not its next knock. */
  readonly scope: readonly [low: number, high: number];
  /** Whose sources may begin; both families unless said. */
  readonly family?: 4 | 6;
}

/** One number for a protocol and a port. */
export function knockKey(protocol: number, port: number): number {
  return (protocol << 16) | port;
}

/** A set of doors with the bounded table of who is on the way through which. */
export class Doors {
  readonly #table = new AttemptTable();
  readonly #doors = new Map<number, Door>();
  readonly #openers = new Map<number, readonly number[]>();
  #lastId = 0;
  #observer: Observer | null = null;

  /** Adds a door; returns the id to remove it with. */
  add(door: Door): number {
    this.#lastId = (this.#lastId + 1) | 0;
    this.#doors.set(this.#lastId, door);
    const first = door.keys[0] ?? 0;
    this.#openers.set(first, [...(this.#openers.get(first) ?? []), this.#lastId]);
    return this.#lastId;
  }

  remove(id: number): void {
    const first = this.#doors.get(id)?.keys[0] ?? 0;
    this.#doors.delete(id);
    const left = (this.#openers.get(first) ?? []).filter((other) => other !== id);
    if (left.length > 0) this.#openers.set(first, left);
    else this.#openers.delete(first);
  }

  /** Tells what becomes of attempts that are not complete. */
  observe(observer: Observer): void {
    this.#observer = observer;
  }

  /** Moves the packet's source on; returns the request of a door whose last knock this was. */
  match(packet: PacketView): Match | null {
    const key = knockKey(packet.protocol, packet.dstPort);
    const table = this.#table;
    const set = table.setOf(packet);
    if (this.#observer !== null) this.#tellLate(set, key, packet);
    const first = table.next(set, set, packet);
    if (packet.protocol === TCP && this.#isRetransmit(set, first, packet)) return null;
    let complete: Door | null = null;
    let repeat = false;
    for (let slot = first; slot >= 0; slot = table.next(set, slot + 1, packet)) {
      const door = this.#doors.get(table.door(slot));
      if (door === undefined) {
        table.remove(slot);
      } else if (table.isDone(slot)) {
        continue;
      } else if (door.keys[table.stage(slot)] === key) {
        table.advance(slot, packet);
        if (table.stage(slot) < door.keys.length) {
          this.#observer?.(remark('counted', door, table.stage(slot)), packet);
          continue;
        }
        complete = door;
        table.finish(slot);
      } else if (table.hasSeen(slot, packet)) {
        repeat = true;
        this.#observer?.(remarkOn('repeated', door, table.stage(slot), key), packet);
      } else if (packet.dstPort >= door.scope[0] && packet.dstPort <= door.scope[1]) {
        this.#observer?.(remarkOn('broken', door, table.stage(slot), key), packet);
        table.remove(slot);
      }
    }
    if (!repeat) this.#start(set, key, packet, complete);
    return complete?.request ?? null;
  }

  /** A SYN that was sent again is known by its sequence number before it could count as a knock or a mistake. */
  #isRetransmit(set: number, first: number, packet: PacketView): boolean {
    const table = this.#table;
    for (let slot = first; slot >= 0; slot = table.next(set, slot + 1, packet)) {
      if (!table.hasSeen(slot, packet)) continue;
      const door = this.#doors.get(table.door(slot));
      if (door === undefined) continue;
      const key = knockKey(packet.protocol, packet.dstPort);
      this.#observer?.(remarkOn('repeated', door, table.stage(slot), key), packet);
      return true;
    }
    return false;
  }

  #start(set: number, key: number, packet: PacketView, complete: Door | null): void {
    const openers = this.#openers.get(key);
    if (openers === undefined) return;
    for (const id of openers) {
      const door = this.#doors.get(id);
      if (door === undefined || door === complete || this.#isUnderWay(set, id, packet)) continue;
      if (door.family !== undefined && door.family !== packet.family) continue;
      this.#table.start(set, id, packet, door.timeoutMs);
      this.#observer?.(remark('counted', door, 1), packet);
    }
  }

  #isUnderWay(set: number, id: number, packet: PacketView): boolean {
    const table = this.#table;
    for (let slot = table.next(set, set, packet); slot >= 0; slot = table.next(set, slot + 1, packet)) {
      if (table.door(slot) === id && !table.isDone(slot)) return true;
    }
    return false;
  }

  #tellLate(set: number, key: number, packet: PacketView): void {
    const table = this.#table;
    for (
      let slot = table.nextLate(set, set, packet);
      slot >= 0;
      slot = table.nextLate(set, slot + 1, packet)
    ) {
      const door = this.#doors.get(table.door(slot));
      if (door?.keys[table.stage(slot)] === key)
        this.#observer?.(remarkOn('late', door, table.stage(slot), key), packet);
    }
  }
}

/** Of a knock that came in its turn. */
function remark(kind: 'counted', door: Door, count: number): AttemptRemark {
  const { request, keys } = door;
  return { kind, client: request.client ?? '', knock: count, seen: firstKnocks(count), knocks: keys.length };
}

/** Of another one: where in the sequence it belongs, if it does. */
function remarkOn(
  kind: 'repeated' | 'late' | 'broken',
  door: Door,
  stage: number,
  key: number,
): AttemptRemark {
  const { request, keys } = door;
  const at = keys.indexOf(key, kind === 'repeated' ? 0 : stage);
  return {
    ...{ kind, client: request.client ?? '', knock: at < 0 ? null : at + 1 },
    ...{ seen: firstKnocks(stage), knocks: keys.length },
  };
}
