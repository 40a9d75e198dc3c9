// One driver made of several: each service has its own. Services that programs of the operator's open stand beside those
// of a real firewall this way.

import type { DriverContext, FirewallDriver, Grant, Opening, Service } from './driver.ts';
import { readSource } from './source.ts';

/** Which driver has a service; of IPv6 sources another one may see to it. */
export interface ServiceDriver {
  readonly driver: FirewallDriver;
  readonly driver6?: FirewallDriver;
}

/** A driver that leaves the services that `special` names to theirs, and all others to `usual`. */
export function byService(
  usual: FirewallDriver,
  special: Readonly<Record<string, ServiceDriver>>,
): FirewallDriver {
  return new DriverByService(usual, new Map(Object.entries(special)));
}

class DriverByService implements FirewallDriver {
  readonly name: string;
  readonly real: boolean;
  /** One that cannot end its openings makes the listener end them all. */
  readonly endsByItself: boolean;
  readonly #usual: FirewallDriver;
  readonly #special: ReadonlyMap<string, ServiceDriver>;
  readonly #all: readonly FirewallDriver[];
  #services: readonly Service[] | null = null;

  constructor(usual: FirewallDriver, special: ReadonlyMap<string, ServiceDriver>) {
    this.#usual = usual;
    this.#special = special;
    const others = [...special.values()].flatMap(({ driver, driver6 }) =>
      driver6 === undefined ? [driver] : [driver, driver6],
    );
    this.#all = [usual, ...others];
    this.name = [...new Set(this.#all.map(({ name }) => name))].join('+');
    this.real = this.#all.some(({ real }) => real);
    this.endsByItself = this.#all.every(({ endsByItself }) => endsByItself ?? true);
  }

  async setup(services: readonly Service[], context: DriverContext): Promise<void> {
    const before = this.#services;
    const done: FirewallDriver[] = [];
    try {
      for (const driver of this.#all) {
        await this.#setup(driver, services, context);
        done.push(driver);
      }
    } catch (error) {
      const quiet: DriverContext = { warning: () => undefined };
      for (const driver of done.toReversed()) {
        await (before === null ? driver.teardown() : this.#setup(driver, before, quiet)).catch(
          () => undefined,
        );
      }
      throw error;
    }
    this.#services = services;
  }

  async open(grant: Grant): Promise<void> {
    await this.#driverOf(grant).open(grant);
  }

  async close(grant: Grant): Promise<void> {
    await this.#driverOf(grant).close(grant);
  }

  async list(): Promise<readonly Opening[]> {
    return (await Promise.all(this.#all.map((driver) => driver.list()))).flat();
  }

  async teardown(): Promise<void> {
    const results = await Promise.allSettled(this.#all.map((driver) => driver.teardown()));
    this.#services = null;
    const failure = results.find((result) => result.status === 'rejected');
    if (failure !== undefined) throw failure.reason;
  }

  #setup(driver: FirewallDriver, services: readonly Service[], context: DriverContext): Promise<void> {
    const { warning, held } = context;
    const own = services.filter(({ name }) => this.#driversOf(name).includes(driver));
    if (held === undefined) return driver.setup(own, { warning });
    return driver.setup(own, { warning, held: held.filter((grant) => this.#driverOf(grant) === driver) });
  }

  #driversOf(service: string): readonly (FirewallDriver | undefined)[] {
    const { driver, driver6 } = this.#special.get(service) ?? { driver: this.#usual };
    return [driver, driver6];
  }

  #driverOf({ service, source }: Opening): FirewallDriver {
    const { driver, driver6 = driver } = this.#special.get(service) ?? { driver: this.#usual };
    return readSource(this.name, source).address.family === 6 ? driver6 : driver;
  }
}
