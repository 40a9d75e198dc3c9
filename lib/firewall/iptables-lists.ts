// Which of the kernel's xt_recent lists a service has. The kernel gives a list one mask, for all that is looked up in it:
// addresses of both families share lists, prefixes of each family and length have lists of their own.

import { formatMask } from '../address.ts';
import type { Service } from './driver.ts';
import type { Width } from './width.ts';

/** A kernel list. */
export interface RecentList {
  readonly name: string;
  /** What it holds prefixes of; `null`: addresses of both families. */
  readonly width: Width | null;
}

/**
 * A service's lists for addresses, or for prefixes of one width: each holds one connection's worth of a grant, the last
 * also admits SYNs.
 */
export function listsOf(
  { protocol, port, connections }: Service,
  width: Width | null = null,
): readonly RecentList[] {
  const count = connections === 'unlimited' ? 1 : connections;
  const suffix = width === null ? '' : `-v${width.family}p${width.length}`;
  const name = `portknock-${protocol}-${port}`;
  return Array.from({ length: count }, (_, i) => ({ name: `${name}-${i + 1}${suffix}`, width }));
}

/** Every list of a service, in the order in which they are spent: an address before a prefix, the longest prefix first. */
export function listGroups(service: Service, widths: readonly Width[]): readonly (readonly RecentList[])[] {
  const longestFirst = widths.toSorted((one, other) => other.length - one.length);
  return [null, ...longestFirst].map((width) => listsOf(service, width));
}

/** The list of a group that admits SYNs. */
export function gateOf(lists: readonly RecentList[]): RecentList {
  const gate = lists.at(-1);
  if (gate === undefined) throw new RangeError('connections must be at least 1');
  return gate;
}

/** Options of the match `recent` that name a list. The mask belongs to the list: every rule must give the same. */
export function nameOf({ name, width }: RecentList): string {
  return width === null ? `--name ${name}` : `--name ${name} --mask ${formatMask(width)}`;
}
