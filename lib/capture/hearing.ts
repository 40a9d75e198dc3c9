// Whether a packet socket still hears. When its interface goes down the kernel raises an error on the socket, at which
// libuv stops polling it for good, whereas the kernel goes on filling its buffer when the interface is up again; and a
// socket whose interface was deleted never hears anything more. Neither is told by libpcap, so the capture process asks.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** The kernel's list of packet sockets: sk RefCnt Type Proto Iface R Rmem User Inode; R is 0 where nothing is hooked. */
const TABLE = '/proc/net/packet';
const RUNNING = 5;
const INODE = 8;

/** The inode of this process's packet socket; `null` when there is no telling. To be asked before root is given up. */
export function ownPacketSocket(): string | null {
  try {
    const inodes = new Set(rows(readFileSync(TABLE, 'latin1')).map((row) => row[INODE]));
    for (const descriptor of readdirSync('/proc/self/fd')) {
      const inode = inodeOf(descriptor);
      if (inode !== undefined && inodes.has(inode)) return inode;
    }
  } catch {
    // Without /proc it is found out by what is not heard.
  }
  return null;
}

/** Whether the kernel gives packets to the socket: its interface is up, and still the one that was opened. */
export function isHooked(inode: string, table: string = readFileSync(TABLE, 'latin1')): boolean {
  return rows(table).some((row) => row[INODE] === inode && row[RUNNING] === '1');
}

/** Tells a socket that is not read any more from a quiet one. */
export class Hearing {
  #received: number;
  #read = 0;
  #waited = false;

  /** @param received what the kernel has counted so far */
  constructor(received: number) {
    this.#received = received;
  }

  /**
   * To be called every other second with the kernel's count of packets, and with ours. False when a packet has waited from
   * one call to the next and none was read; one that has just come is no sign yet.
   */
  goesOn(received: number, read: number): boolean {
    const silent = read === this.#read;
    const deaf = silent && this.#waited;
    this.#waited = silent && received !== this.#received;
    this.#received = received;
    this.#read = read;
    return !deaf;
  }
}

function rows(table: string): string[][] {
  return table.split('\n').map((line) => line.trim().split(/\s+/u));
}

function inodeOf(descriptor: string): string | undefined {
  try {
    return /^socket:\[(\d+)\]$/u.exec(readlinkSync(`/proc/self/fd/${descriptor}`))?.[1];
  } catch {
    // The descriptor of the folder itself, which is closed by now.
    return undefined;
  }
}
