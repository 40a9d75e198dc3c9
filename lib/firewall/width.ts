// The lengths of the prefixes that services are opened to: rules and lists or sets of each are made when one first comes.

import { isWholeAddress, type Prefix } from '../address.ts';

/** A prefix length of a family. */
export interface Width {
  readonly family: 4 | 6;
  readonly length: number;
}

/** The widths, by service name, that a service can be opened to. */
export type Widths = ReadonlyMap<string, readonly Width[]>;

/** The width of a grant's source; `null`: an address. */
export function widthOf(source: Prefix): Width | null {
  return isWholeAddress(source) ? null : { family: source.address.family, length: source.length };
}

export function isSameWidth(one: Width, other: Width): boolean {
  return one.family === other.family && one.length === other.length;
}
