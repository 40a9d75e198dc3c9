// The openings of a driver that has no kernel to keep them: whom they admit, how often, and until when. An address's
// own opening is spent before that of a prefix around it, and a longer prefix before a shorter one.

import { isWholeAddress, parseAddress, prefixContains, type Address, type Prefix } from '../address.ts';
import type { Clock } from '../clock.ts';
import { KnockError, printable } from '../errors.ts';
import { isSameService, LINGER_MS, type Grant, type Opening, type Service } from './driver.ts';
import { requireFamily } from './forward.ts';
import { readSource } from './source.ts';

interface Open {
  readonly grant: Grant;
  /** `null`: one address. */
  readonly prefix: Prefix | null;
  /** Connections that it still admits; 0 once its time is over, while it is still listed. */
  left: number;
  cancel: () => void;
}

/** What is set up and what is open. */
export class Book {
  readonly #driver: string;
  readonly #clock: Clock | undefined;
  readonly #open = new Map<string, Open>();
  /** Those of them that are open to a prefix: strangers' connections are compared with these alone. */
  readonly #wide = new Set<Open>();
  #services: ReadonlyMap<string, Service> = new Map();

  /** Without a clock, openings do not end by themselves. */
  constructor(driver: string, clock: Clock | undefined) {
    this.#driver = driver;
    this.#clock = clock;
  }

  /** Takes a list of services; openings of those that stay the same stay. */
  setServices(services: readonly Service[]): void {
    const earlier = this.#services;
    this.#services = new Map(services.map((service) => [service.name, service]));
    for (const [key, { grant }] of [...this.#open]) {
      if (!isSameService(earlier.get(grant.service), this.#services.get(grant.service))) this.#drop(key);
    }
  }

  /** @throws KnockError `ERR_FIREWALL_UNSUPPORTED` for another service than was set up, or a source that is none */
  open(grant: Grant): void {
    const service = this.#services.get(grant.service);
    if (service?.port !== grant.port || service.protocol !== grant.protocol) {
      const wanted = `${printable(grant.service)} on ${String(grant.port)}/${grant.protocol}`;
      throw new KnockError(
        'ERR_FIREWALL_UNSUPPORTED',
        `${this.#driver}: no such service was set up: ${wanted} (call setup first)`,
      );
    }
    const source = readSource(this.#driver, grant.source);
    requireFamily(this.#driver, service, source);
    const prefix = isWholeAddress(source) ? null : source;
    const key = keyOf(grant);
    this.#drop(key);
    const clock = this.#clock;
    const ms = grant.openUntil - (clock?.now() ?? 0);
    if (ms <= 0) return;
    const left = grant.connections === 'unlimited' ? Infinity : grant.connections;
    const open: Open = { grant, prefix, left, cancel: () => undefined };
    this.#open.set(key, open);
    if (prefix !== null) this.#wide.add(open);
    if (clock === undefined) return;
    open.cancel = clock.after(ms, () => {
      open.left = 0;
      open.cancel = clock.after(LINGER_MS, () => {
        this.#drop(key);
      });
    });
  }

  close(opening: Opening): void {
    this.#drop(keyOf(opening));
  }

  /** One new connection from `source`: whether it is admitted. The last admitted one of a grant closes it. */
  admit(service: string, source: string): boolean {
    const open = this.#find(service, source);
    if (open === null) return false;
    open.left -= 1;
    if (open.left === 0) this.#drop(keyOf(open.grant));
    return true;
  }

  /** What is neither spent nor closed; one whose time has ended, only with `lingering`. */
  grants({ lingering }: { readonly lingering: boolean }): readonly Grant[] {
    return [...this.#open.values()].filter(({ left }) => lingering || left > 0).map(({ grant }) => grant);
  }

  #find(service: string, source: string): Open | null {
    const own = this.#open.get(keyOf({ service, source }));
    if (own !== undefined && this.#isGood(own)) return own;
    const address = parseAddress(source);
    if (address === null) return null;
    let best: Open | null = null;
    for (const open of this.#wide) {
      if (open.grant.service !== service || !this.#isGood(open) || !holds(open, address)) continue;
      if (lengthOf(open) > lengthOf(best)) best = open;
    }
    return best;
  }

  /** Timers stand still while the host sleeps; the clock does not. */
  #isGood({ left, grant }: Open): boolean {
    return left > 0 && (this.#clock === undefined || this.#clock.now() < grant.openUntil);
  }

  #drop(key: string): void {
    const open = this.#open.get(key);
    if (open === undefined) return;
    open.cancel();
    this.#open.delete(key);
    this.#wide.delete(open);
  }
}

function holds({ prefix }: Open, address: Address): boolean {
  return prefix !== null && prefixContains(prefix, address);
}

function lengthOf(open: Open | null): number {
  return open?.prefix?.length ?? -1;
}

function keyOf({ service, source }: Opening): string {
  return `${service} ${source}`;
}
