// The mock driver against the suite that every driver must pass, and the suite against drivers that are wrong.

import assert from 'node:assert/strict';
import type { FirewallDriver } from '../../lib/firewall/driver.ts';
import { mock } from '../../lib/firewall/mock.ts';
import { virtualClock } from '../../lib/testing/clock.ts';
import { driverConformance } from '../../lib/testing/driver-suite.ts';

describe('mock, as a firewall driver', () => {
  let clock = virtualClock();
  const cases = driverConformance({
    make: () => {
      clock = virtualClock();
      return Promise.resolve(mock({ clock }));
    },
    now: () => clock.now(),
    elapse: (_driver, ms) => clock.advance(ms),
    admits: (driver, service, source) => Promise.resolve(driver.spend(service.name, source)),
  });
  for (const { title, run } of cases) it(title, run);
});

describe('driverConformance', () => {
  const broken: readonly [what: string, make: (good: FirewallDriver) => Partial<FirewallDriver>][] = [
    ['opens nothing', () => ({ open: () => Promise.resolve() })],
    ['lists nothing', () => ({ list: () => Promise.resolve([]) })],
    ['closes nothing', () => ({ close: () => Promise.resolve() })],
    ['tears nothing down', () => ({ teardown: () => Promise.resolve() })],
    ['closes by service alone', (good) => ({ close: (grant) => closeAll(good, grant.service) })],
    ['rejects with another error', () => ({ open: () => Promise.reject(new Error('no')) })],
  ];
  for (const [what, change] of broken) {
    it(`fails a driver that ${what}`, async () => {
      const make = (): Promise<FirewallDriver> => {
        const good = mock();
        return Promise.resolve(Object.assign(Object.create(good) as FirewallDriver, change(good)));
      };
      const results = await Promise.allSettled(driverConformance({ make }).map(({ run }) => run()));
      assert.ok(results.some(({ status }) => status === 'rejected'));
    });
  }
});

async function closeAll(driver: FirewallDriver, service: string): Promise<void> {
  for (const opening of await driver.list()) {
    if (opening.service !== service) continue;
    const rest = { id: 'x', client: 'x', protocol: 'tcp', port: 1, openUntil: 0, connections: 1 } as const;
    await driver.close({ ...opening, ...rest });
  }
}
