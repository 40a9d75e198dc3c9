// What a first set-up makes of the openings of an earlier run: those that it is told of, and that the kernel's sets still
// have, stay with their times and what is left of them; everything else goes from the sets.

import { adoptable, widthsIn, type Adoptable } from './adoptable.ts';
import type { Grant, Service } from './driver.ts';
import type { NftGrants } from './nftables-grants.ts';
import { groupsOf, type Group } from './nftables-sets.ts';
import { isSameWidth, type Width, type Widths } from './width.ts';

/** A grant that is still open, and where. */
export interface Adopted {
  readonly grant: Grant;
  readonly group: Group;
  readonly address: string;
}

/** What of an earlier run is good, before the rules are set. */
export class Adoption {
  readonly #all: readonly Adoptable[];
  readonly #services: readonly Service[];

  constructor(held: readonly Grant[], services: readonly Service[]) {
    this.#all = adoptable(held, services);
    this.#services = services.filter(({ name }) => this.#all.some(({ grant }) => grant.service === name));
  }

  /** The services whose sets are to keep their elements. */
  get names(): readonly string[] {
    return this.#services.map(({ name }) => name);
  }

  widthsOf(service: Service): readonly Width[] {
    return widthsIn(this.#all, service);
  }

  /**
   * After the rules are set.
   *
   * @throws KnockError `ERR_FIREWALL_*`
   */
  async finish(grants: NftGrants, widths: Widths): Promise<readonly Adopted[]> {
    if (this.#all.length === 0) return [];
    const groups = this.#services.flatMap((service) => groupsOf(service, widths));
    const of = (group: Group, address: string): Adoptable | undefined =>
      this.#all.find((one) => one.address === address && isIn(one, group));
    const isOpen = await grants.sweep(groups, (group, address) => of(group, address) !== undefined);
    return this.#all.flatMap((one) => {
      const group = groups.find((each) => isIn(one, each));
      if (group === undefined || !isOpen(group, one.address)) return [];
      return [{ grant: one.grant, group, address: one.address }];
    });
  }
}

function isIn({ grant, width, address }: Adoptable, group: Group): boolean {
  if (grant.service !== group.service.name || (address.includes(':') ? 6 : 4) !== group.family) return false;
  return width === null || group.width === null ? width === group.width : isSameWidth(width, group.width);
}
