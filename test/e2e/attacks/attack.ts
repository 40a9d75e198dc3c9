// How a numbered attack runs: on both drivers at the same time, each in its own world; and on real knockd, which is the
// same whatever our driver is, in one of them. One world does one thing at a time.

import { describeInNamespaces } from '../support.ts';
import { type ConfigOptions, type Driver, DRIVERS } from './clients.ts';
import { type Field, fieldOf } from './field.ts';

export interface AttackOptions {
  /** Where it runs; everywhere unless given. */
  readonly drivers?: readonly Driver[];
  /** What the gateway runs with; the usual unless given. */
  readonly config?: Partial<ConfigOptions>;
  /** 60 s unless given. */
  readonly timeoutMs?: number;
  /** For what needs both processors: one driver after the other. */
  readonly alone?: boolean;
  /** Real knockd is what it shows. */
  readonly isKnockd?: boolean;
}

type Body = (field: Field) => Promise<void>;

/** Until what was last begun in a driver's world is over. */
const turns = new Map<Driver, Promise<void>>();

/** The tests of one attack. */
export function attack(title: string, body: () => void): void {
  describeInNamespaces(title, body);
}

/** A test for each driver, all of which begin when the first does. */
export function onBoth(title: string, body: Body, options: AttackOptions = {}): void {
  const { drivers = DRIVERS, config = {}, timeoutMs = 60_000, alone = false, isKnockd = false } = options;
  const runs = new Map<Driver, Promise<void>>();
  const run = (driver: Driver): Promise<void> => {
    const begun =
      runs.get(driver) ??
      inTurn(driver, async (field) => {
        await field.configured(config);
        await body(field);
      });
    runs.set(driver, begun);
    return begun;
  };
  for (const driver of drivers) {
    const named = isKnockd ? 'knockd' : driver;
    it(`${title} (${named})`, async function () {
      // The others' time is not its own.
      this.timeout(timeoutMs * (alone ? 1 : drivers.length));
      // Its fault is its own test's.
      if (!alone) for (const other of drivers) run(other).catch(() => undefined);
      await run(driver);
    });
  }
}

/** A test of real knockd. */
export function onKnockd(title: string, body: Body): void {
  const ended: Body = (field) => body(field).finally(() => field.knockd.end());
  onBoth(title, ended, { drivers: [DRIVERS[0]], isKnockd: true });
}

/** Begins when all that was begun in this world before is over. */
function inTurn(driver: Driver, body: Body): Promise<void> {
  const before = turns.get(driver);
  const run = (async () => {
    await before;
    await body(await fieldOf(driver));
  })();
  turns.set(
    driver,
    run.catch(() => undefined),
  );
  return run;
}
