// Which openings of an earlier run are still good, and how a kernel's lists and sets name them.

import { firstAddress, formatAddress, parsePrefix } from '../address.ts';
import { isLive, type Grant, type Service } from './driver.ts';
import { isSameWidth, widthOf, type Width } from './width.ts';

/** A live grant of an earlier run, as the lists have it. */
export interface Adoptable {
  readonly grant: Grant;
  readonly width: Width | null;
  readonly address: string;
}

/** Those of `held` that are live. */
export function adoptable(held: readonly Grant[], services: readonly Service[]): readonly Adoptable[] {
  return held.flatMap((grant) => {
    const service = services.find(({ name }) => name === grant.service);
    const source = parsePrefix(grant.source);
    if (source === null || !isLive(grant, service, Date.now())) return [];
    return [{ grant, width: widthOf(source), address: formatAddress(firstAddress(source)) }];
  });
}

/** The prefix lengths that a service needs lists of. */
export function widthsIn(all: readonly Adoptable[], { name }: Service): readonly Width[] {
  const widths: Width[] = [];
  for (const { grant, width } of all) {
    if (grant.service !== name || width === null) continue;
    if (!widths.some((one) => isSameWidth(one, width))) widths.push(width);
  }
  return widths;
}
