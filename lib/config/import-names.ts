// Names for what doors become: a door may be called anything and twice the same, a client and a service may not.

import type { StockPort } from './knockd-stock.ts';

const MOST_CLIENT = 64;
const MOST_SERVICE = 32;
/** As an administrator would call them. */
const WELL_KNOWN: Readonly<Record<string, string>> = {
  '22/tcp': 'ssh',
  '25/tcp': 'smtp',
  '80/tcp': 'http',
  '443/tcp': 'https',
};

/** The name of a client for a door that is none of the `taken` ones. */
export function clientName(door: string, taken: ReadonlyMap<string, unknown>): string {
  const plain = door.replace(/[^A-Za-z0-9._@-]+/gu, '-').replace(/^[^A-Za-z0-9]+/u, '');
  return free(plain === '' ? 'door' : plain, taken, MOST_CLIENT);
}

/** The name of the service on a port; or for a door's own programs, none of the `taken` ones. */
export function serviceName(
  door: string | StockPort,
  taken: ReadonlyMap<string, unknown> = new Map(),
): string {
  if (typeof door !== 'string') {
    const place = `${door.port}/${door.protocol}`;
    return WELL_KNOWN[place] ?? `${door.protocol}-${door.port}`;
  }
  const plain = door
    .toLowerCase()
    .replace(/[^a-z0-9]+/gu, '-')
    .replace(/^-|-$/gu, '');
  // These are names of ports, which other doors may open.
  const isPort = Object.values(WELL_KNOWN).includes(plain) || /^(?:tcp|udp)-\d+$/u.test(plain);
  return free(plain === '' || isPort ? `door${plain === '' ? '' : `-${plain}`}` : plain, taken, MOST_SERVICE);
}

function free(name: string, taken: ReadonlyMap<string, unknown>, most: number): string {
  for (let number = 1; ; number += 1) {
    const end = number === 1 ? '' : `-${number}`;
    const found = name.slice(0, most - end.length) + end;
    if (!taken.has(found)) return found;
  }
}
