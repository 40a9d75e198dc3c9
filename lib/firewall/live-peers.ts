// Connections that are up when the rules are set: the kernel's connection tracking has no mark for them, so without
// help they would hang at their next packet. Read from /proc/net/tcp and tcp6 (proc(5)).

import { readFile } from 'node:fs/promises';
import { endianness } from 'node:os';
import { formatAddress, type Address } from '../address.ts';

/** The other end of a TCP connection of this host. */
export interface LivePeer {
  readonly family: 4 | 6;
  readonly address: string;
  readonly port: number;
  readonly localPort: number;
  /** Its handshake is not complete yet. */
  readonly halfOpen: boolean;
}

const ADDRESS = /^([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})$/u;
/** States without a peer that still talks: TIME_WAIT, CLOSE, LISTEN. */
const NOT_LIVE = new Set(['06', '07', '0A']);
const SYN_RECEIVED = '03';

/** The peers of all live connections to one of `ports`. */
export async function livePeers(ports: ReadonlySet<number>): Promise<readonly LivePeer[]> {
  const tables = await Promise.all(
    ['/proc/net/tcp', '/proc/net/tcp6'].map((path) => readFile(path, 'utf8').catch(() => '')),
  );
  return tables.flatMap((table) => parsePeers(table)).filter(({ localPort }) => ports.has(localPort));
}

/** Parses a table of /proc/net. */
export function parsePeers(table: string): LivePeer[] {
  return table.split('\n').flatMap((line) => {
    const [, local = '', remote = '', state = ''] = line.trim().split(/\s+/u);
    const here = ADDRESS.exec(local);
    const there = ADDRESS.exec(remote);
    if (here === null || there === null || NOT_LIVE.has(state)) return [];
    const address = parseWords(there[1] ?? '');
    return [
      {
        family: address.family,
        address: formatAddress(address),
        port: parseInt(there[2] ?? '', 16),
        localPort: parseInt(here[2] ?? '', 16),
        halfOpen: state === SYN_RECEIVED,
      },
    ];
  });
}

/** The kernel prints each 32-bit word of an address as a number in its own byte order. */
function parseWords(hex: string): Address {
  const words = (hex.match(/.{8}/gu) ?? []).map((text) => {
    const bytes = Buffer.from(text, 'hex');
    return endianness() === 'LE' ? bytes.readInt32LE(0) : bytes.readInt32BE(0);
  });
  const [a = 0, b = 0, c = 0, d = 0] = words;
  if (words.length === 1) return { family: 4, words: [0, 0, 0xffff, a] };
  const mapped = a === 0 && b === 0 && c === 0xffff;
  return { family: mapped ? 4 : 6, words: [a, b, c, d] };
}
