// IPv4 and IPv6 addresses as four int32 words (IPv4 as ::ffff:a.b.c.d), with their canonical text (RFC 5952).
// int32, because V8 boxes uint32 values above 2^31.

import { isIPv4, isIPv6 } from 'node:net';

/** An address; `words` are in network order. */
export interface Address {
  readonly family: 4 | 6;
  readonly words: readonly [number, number, number, number];
}

/** An address with a prefix length (0..32 or 0..128). */
export interface Prefix {
  readonly address: Address;
  readonly length: number;
}

const V4_MARK = 0xffff;

/** Parses dotted IPv4 or IPv6 text; `null` for anything else (zone ids and IPv4-mapped IPv6 included). */
export function parseAddress(text: string): Address | null {
  if (isIPv4(text)) return { family: 4, words: [0, 0, V4_MARK, parseDotted(text)] };
  if (!isIPv6(text) || text.includes('%')) return null;
  const words = parseGroups(text);
  return isMapped(words) ? null : { family: 6, words };
}

/** Parses `ADDRESS/LENGTH`, or an address alone as the prefix that holds only it. */
export function parsePrefix(text: string): Prefix | null {
  const slash = text.indexOf('/');
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (address === null) return null;
  const longest = address.family === 4 ? 32 : 128;
  if (slash < 0) return { address, length: longest };
  const digits = text.slice(slash + 1);
  const length = Number(digits);
  return /^\d{1,3}$/u.test(digits) && length <= longest ? { address, length } : null;
}

/** Whether `address` lies in `prefix`. */
export function prefixContains(prefix: Prefix, address: Address): boolean {
  if (prefix.address.family !== address.family) return false;
  const { family } = address;
  for (let i = 0; i < 4; i += 1) {
    const differing = (prefix.address.words[i] ?? 0) ^ (address.words[i] ?? 0);
    if ((differing & maskWord({ family, length: prefix.length }, i)) !== 0) return false;
  }
  return true;
}

/** Canonical text: dotted IPv4, or IPv6 after RFC 5952. */
export function formatAddress(address: Address): string {
  const [a, b, c, d] = address.words;
  if (address.family === 4) return dotted(d);
  const groups = [a, b, c, d].flatMap((word) => [(word >>> 16) & 0xffff, word & 0xffff]);
  const [start, length] = longestZeroRun(groups);
  const hex = groups.map((group) => group.toString(16));
  if (length < 2) return hex.join(':');
  return `${hex.slice(0, start).join(':')}::${hex.slice(start + length).join(':')}`;
}

/** Canonical text of a prefix, without the bits beyond its length; one that holds a single address is that address's text. */
export function formatPrefix(prefix: Prefix): string {
  const text = formatAddress(firstAddress(prefix));
  return isWholeAddress(prefix) ? text : `${text}/${String(prefix.length)}`;
}

/** The lowest address of a prefix: its own with every bit beyond its length cleared. */
export function firstAddress({ address: { family, words }, length }: Prefix): Address {
  const masked = (i: number): number => (words[i] ?? 0) & maskWord({ family, length }, i);
  return { family, words: [masked(0), masked(1), masked(2), masked(3)] };
}

/** A prefix length as a netmask: `255.255.255.0`, `ffff:ffff:ffff:ff00::`. */
export function formatMask(width: { readonly family: 4 | 6; readonly length: number }): string {
  const mask = (i: number): number => maskWord(width, i);
  return formatAddress({ family: width.family, words: [mask(0), mask(1), mask(2), mask(3)] });
}

/** Whether the prefix holds one address only. */
export function isWholeAddress({ address: { family }, length }: Prefix): boolean {
  return length === (family === 4 ? 32 : 128);
}

export function sameAddress(one: Address, other: Address): boolean {
  return one.family === other.family && one.words.every((word, i) => word === other.words[i]);
}

export function isLoopback({ family, words: [a, b, c, d] }: Address): boolean {
  return family === 4 ? d >>> 24 === 127 : a === 0 && b === 0 && c === 0 && d === 1;
}

/**
 * Whether a grant may name this source: a unicast address that some other host can have. Refused: unspecified and
 * 0.0.0.0/8, loopback, multicast, 240.0.0.0/4 with the broadcast address, IPv4-mapped and IPv4-compatible IPv6.
 */
export function isUnicastSource(address: Address): boolean {
  const [a, b, c, d] = address.words;
  if (isLoopback(address)) return false;
  if (address.family === 4) {
    const first = d >>> 24;
    return first !== 0 && first < 224;
  }
  const embedded = a === 0 && b === 0 && (c === 0 || c === V4_MARK);
  return !embedded && a >>> 24 !== 0xff;
}

/** Word `i` of a netmask. */
function maskWord(
  { family, length }: { readonly family: 4 | 6; readonly length: number },
  i: number,
): number {
  const bits = length + (family === 4 ? 96 : 0) - 32 * i;
  if (bits >= 32) return -1;
  return bits <= 0 ? 0 : ~(-1 >>> bits);
}

function isMapped([a, b, c]: Address['words']): boolean {
  return a === 0 && b === 0 && c === V4_MARK;
}

function parseDotted(text: string): number {
  return text.split('.').reduce((word, part) => (word << 8) | Number(part), 0);
}

function parseGroups(text: string): [number, number, number, number] {
  const dot = text.lastIndexOf(':');
  const tail = text.slice(dot + 1);
  if (tail.includes('.')) {
    const word = parseDotted(tail);
    return parseGroups(
      `${text.slice(0, dot + 1)}${((word >>> 16) & 0xffff).toString(16)}:${(word & 0xffff).toString(16)}`,
    );
  }
  const [head = '', rest] = text.split('::');
  const before = groupsOf(head);
  const after = rest === undefined ? [] : groupsOf(rest);
  const middle = rest === undefined ? 0 : 8 - before.length - after.length;
  const groups = [...before, ...Array.from({ length: middle }, () => 0), ...after];
  const word = (i: number): number => ((groups[i] ?? 0) << 16) | (groups[i + 1] ?? 0);
  return [word(0), word(2), word(4), word(6)];
}

function groupsOf(text: string): number[] {
  return text === '' ? [] : text.split(':').map((group) => parseInt(group, 16));
}

function dotted(word: number): string {
  return [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255].join('.');
}

function longestZeroRun(groups: readonly number[]): [start: number, length: number] {
  let best: [number, number] = [0, 0];
  for (let i = 0; i < groups.length; i += 1) {
    let length = 0;
    while (groups[i + length] === 0) length += 1;
    if (length > best[1]) best = [i, length];
    i += length;
  }
  return best;
}
