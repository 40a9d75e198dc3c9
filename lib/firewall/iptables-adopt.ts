// What a first set-up makes of the openings of an earlier run: those that it is told of, and that the kernel still has,
// stay with their times and what is left of them; everything else goes from the lists.

import type { Adoptable } from './adoptable.ts';
import type { Grant } from './driver.ts';
import { listGroups, type RecentList } from './iptables-lists.ts';
import type { Plan } from './iptables-plan.ts';
import { isSameWidth, type Width } from './width.ts';

/**
 * Takes every other address from the lists of a plan; those that the kernel still has.
 *
 * @throws KnockError `ERR_FIREWALL_*`
 */
export async function adopt(
  { lists, services, widths }: Plan,
  all: readonly Adoptable[],
): Promise<readonly Grant[]> {
  const found: Grant[] = [];
  if (all.length === 0) return found;
  for (const service of services.values()) {
    for (const group of listGroups(service, widths.get(service.name) ?? [])) {
      const own = all.filter(({ grant, width }) => grant.service === service.name && isOf(width, group));
      for (const [i, list] of group.toReversed().entries()) {
        for (const address of await lists.read(list)) {
          const held = own.find((one) => one.address === address);
          if (held === undefined) await lists.remove(list, address);
          // The last list is the gate.
          else if (i === 0) found.push(held.grant);
        }
      }
    }
  }
  return found;
}

function isOf(width: Width | null, [list]: readonly RecentList[]): boolean {
  const other = list?.width ?? null;
  return width === null || other === null ? width === other : isSameWidth(width, other);
}
