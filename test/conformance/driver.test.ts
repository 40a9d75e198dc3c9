// Drivers that need no root against the suite that every driver must pass, and the suite against drivers that are wrong.

import assert from 'node:assert/strict';
import type { FirewallDriver, Service } from '../../lib/firewall/driver.ts';
import { gate } from '../../lib/firewall/gate.ts';
import { mock } from '../../lib/firewall/mock.ts';
import { virtualClock } from '../../lib/testing/clock.ts';
import { driverConformance } from '../../lib/testing/driver-suite.ts';
import { GreetingServer } from '../support/greeting.ts';

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

describe('gate, as a firewall driver', () => {
  const services: readonly Service[] = [
    { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 3000, connections: 1 },
    { name: 'admin', protocol: 'tcp', port: 8443, openForMs: 3000, connections: 'unlimited' },
    { name: 'web', protocol: 'tcp', port: 443, openForMs: 3000, connections: 2 },
  ];
  let clock = virtualClock();
  let greeters = new Map<string, GreetingServer>();
  const cases = driverConformance({
    services,
    sources: ['127.0.0.1', '127.0.0.2'],
    make: async () => {
      clock = virtualClock();
      greeters = new Map();
      for (const { name } of services) greeters.set(name, await GreetingServer.listen('127.0.0.1'));
      const servers = [...greeters].map(([name, { server }]) => [name, server] as const);
      return gate(Object.fromEntries(servers), { clock });
    },
    dispose: async () => {
      for (const greeter of greeters.values()) await greeter.close();
    },
    now: () => clock.now(),
    elapse: (_driver, ms) => clock.advance(ms),
    admits: async (_driver, { name }, source) => {
      const visit = await greeters.get(name)?.visit(source);
      return visit?.greeted ?? false;
    },
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
