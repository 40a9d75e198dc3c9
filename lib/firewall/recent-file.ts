// The kernel's xt_recent lists: addresses with the time they were put there. Writing one is a grant: 40 microseconds,
// no process. They live as long as a rule names them. (netfilter's xt_recent; iptables-extensions(8) "recent")

import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { formatAddress, parseAddress } from '../address.ts';
import { KnockError, messageOf, systemCode } from '../errors.ts';
import type { RecentList } from './iptables-lists.ts';

/** Ways to change and read the lists. A prefix is written and read as its first address. */
export interface RecentLists {
  /** Adds the address, or gives it a fresh time. */
  add(list: RecentList, address: string): Promise<void>;
  /** Removes the address; an absent one is no error. */
  remove(list: RecentList, address: string): Promise<void>;
  /** Canonical text of every address in the list. */
  read(list: RecentList): Promise<readonly string[]>;
  clear(list: RecentList): Promise<void>;
  /** How many addresses a list holds before the kernel pushes out the oldest. */
  limit(): number;
  /** Rules that this way of writing needs in a family's filter table. */
  rules(family: 4 | 6, lists: readonly RecentList[]): readonly string[];
  /** Says which lists the rules name from now on. */
  keep(lists: readonly RecentList[]): void;
  close(): Promise<void>;
}

const FOLDER = '/proc/net/xt_recent';
const LIMIT = '/sys/module/xt_recent/parameters/ip_list_tot';

/** Lists that are written through /proc, which only the root of the host's own user namespace may do. */
export function fileLists(): RecentLists {
  return {
    // The kernel applies a list's mask to packets, not to what is written here.
    add: ({ name }, address) => write(name, `+${address}`),
    remove: ({ name }, address) => write(name, `-${address}`),
    read: ({ name }) => Promise.resolve(readList(name)),
    clear: ({ name }) => write(name, '/'),
    limit: listLimit,
    rules: () => [],
    keep: () => undefined,
    close: () => Promise.resolve(),
  };
}

/** @throws KnockError `ERR_FIREWALL_COMMAND` when the list is gone */
export function readList(list: string): readonly string[] {
  try {
    const lines = readFileSync(`${FOLDER}/${list}`, 'latin1').split('\n');
    return lines.flatMap((line) => {
      const address = parseAddress(/^src=(\S+)/u.exec(line)?.[1] ?? '');
      return address === null ? [] : [formatAddress(address)];
    });
  } catch (error) {
    throw failure(list, 'read', error);
  }
}

/** The module's parameter ip_list_tot; 100 is its default. */
export function listLimit(): number {
  try {
    return Number(readFileSync(LIMIT, 'latin1')) || 100;
  } catch {
    return 100;
  }
}

// Synchronous on purpose: a write to /proc takes less time than handing it to another thread.
async function write(list: string, command: string): Promise<void> {
  try {
    // Opened anew each time: the kernel takes one command per opened file, and a list can be replaced under us.
    const file = openSync(`${FOLDER}/${list}`, 'r+');
    try {
      writeSync(file, command);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw failure(list, 'written', error);
  }
}

function failure(list: string, action: string, cause: unknown): KnockError {
  const code = systemCode(cause);
  if (code === 'ENOENT') {
    const message = `kernel list ${list} is gone: another program removed our firewall rules (restart portknockd)`;
    return new KnockError('ERR_FIREWALL_COMMAND', message, { cause });
  }
  const permission = code === 'EACCES' || code === 'EPERM' || code === 'EROFS';
  return new KnockError(
    permission ? 'ERR_FIREWALL_PERMISSION' : 'ERR_FIREWALL_COMMAND',
    `kernel list ${list} cannot be ${action}: ${messageOf(cause)}`,
    { cause },
  );
}
