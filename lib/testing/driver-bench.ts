// What the driver cases share: what each works with, and how it looks at a driver.

import assert from 'node:assert/strict';
import { isKnockError } from '../errors.ts';
import type { FirewallDriver, Grant, Opening, Service } from '../firewall/driver.ts';

/** What a case works with. */
export interface DriverBench<D extends FirewallDriver> {
  readonly driver: D;
  readonly services: readonly Service[];
  readonly first: Service;
  readonly second: Service;
  readonly here: string;
  readonly there: string;
  /** Prefixes around `here` and `there`, each without the other; `null`: the driver cannot open to a prefix. */
  readonly around: readonly [here: string, there: string] | null;
  /** Sets up all services, or others. */
  readonly setup: (services?: readonly Service[]) => Promise<void>;
  readonly grant: (service: Service, source: string) => Grant;
  /** Whether the time of one of them is over. */
  readonly isOver: (grants: readonly Grant[]) => boolean;
}

export interface DriverCase<D extends FirewallDriver> {
  readonly title: string;
  /** Whether it waits for the end of openings; in all others a slow host must not live to see it. */
  readonly isTimed?: true;
  readonly body: (bench: DriverBench<D>) => Promise<void>;
}

/** How late an opening may end. */
export const GRACE_MS = 1000;
/** How often a timed case begins anew on a host that was too slow to see what it opened. */
const MOST_TRIES = 3;
/** For a service that admits any number of connections. */
export const MANY = 3;

export async function assertOpen(driver: FirewallDriver, expected: readonly Opening[]): Promise<void> {
  assertSame(await driver.list(), expected);
}

/** Makes grants that must be the openings when it looks; anew where the time of one was over before it could look. */
export async function assertOpenInTime(
  { driver, isOver }: Pick<DriverBench<FirewallDriver>, 'driver' | 'isOver'>,
  make: () => Promise<readonly Grant[]>,
): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    const grants = await make();
    const openings = await driver.list();
    if (isOver(grants) && tries < MOST_TRIES) continue;
    assertSame(openings, grants);
    return;
  }
}

function assertSame(openings: readonly Opening[], expected: readonly Opening[]): void {
  const text = (some: readonly Opening[]): string[] =>
    some.map(({ service, source }) => `${service} ${source}`).sort();
  assert.deepEqual(text(openings), text(expected));
}

export async function assertKnockError(promise: Promise<void>, code = /^ERR_FIREWALL_/u): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(isKnockError(error), `not a KnockError: ${String(error)}`);
    assert.match(error.code, code);
    return true;
  });
}
