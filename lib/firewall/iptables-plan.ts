// What the iptables driver is about to do or has done to the kernel: families, services, the prefix lengths that they
// were opened to, and with them the lists.

import type { Service } from './driver.ts';
import type { Protect } from './iptables-change.ts';
import type { Tables } from './iptables-host.ts';
import { gateOf, listGroups, type RecentList } from './iptables-lists.ts';
import type { RecentLists } from './recent-file.ts';
import { isSameWidth, type Width, type Widths } from './width.ts';

/** What the kernel is to do. */
export interface Plan {
  readonly families: readonly Tables[];
  readonly protect: Protect;
  readonly lists: RecentLists;
  readonly services: ReadonlyMap<string, Service>;
  readonly widths: Widths;
  readonly warning: (message: string) => void;
}

/** Every list that the rules of a plan name, and so keep alive. */
export function listsIn({ services, widths }: Plan): readonly RecentList[] {
  return [...services.values()].flatMap((service) =>
    listGroups(service, widths.get(service.name) ?? []).flat(),
  );
}

/** Whether there are rules for grants of this width. */
export function hasWidth({ widths }: Plan, { name }: Service, width: Width | null): boolean {
  return width === null || (widths.get(name) ?? []).some((one) => isSameWidth(one, width));
}

/** What the kernel holds for a service, as grants write it. */
export async function sourcesIn({ lists, widths }: Plan, service: Service): Promise<readonly string[]> {
  const found: string[] = [];
  for (const group of listGroups(service, widths.get(service.name) ?? [])) {
    const gate = gateOf(group);
    const addresses = await lists.read(gate);
    found.push(
      ...addresses.map((address) => (gate.width === null ? address : `${address}/${gate.width.length}`)),
    );
  }
  return found;
}
