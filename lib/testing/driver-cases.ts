// The cases of driver-suite.ts: the contract's own, and those for drivers whose connections or clock can be tried.

import assert from 'node:assert/strict';
import type { FirewallDriver, Opening } from '../firewall/driver.ts';
import {
  assertKnockError,
  assertOpen,
  assertOpenInTime,
  GRACE_MS,
  MANY,
  type DriverCase,
} from './driver-bench.ts';
import type { DriverSuiteOptions } from './driver-suite.ts';

export function contractCases<D extends FirewallDriver>(): DriverCase<D>[] {
  return [
    {
      title: 'has nothing open after set-up, which may be repeated',
      body: async ({ driver, setup }) => {
        await setup();
        assert.deepEqual(await driver.list(), []);
        await setup();
        assert.deepEqual(await driver.list(), []);
      },
    },
    {
      title: 'lists what was opened, for every service and both sources',
      body: async ({ driver, services, here, there, setup, grant }) => {
        await setup();
        const expected: Opening[] = [];
        for (const service of services) {
          for (const source of [here, there]) {
            await driver.open(grant(service, source));
            expected.push({ service: service.name, source });
            await assertOpen(driver, expected);
          }
        }
      },
    },
    {
      title: 'replaces a grant by a second one for the same service and source',
      body: async ({ driver, first, here, there, setup, grant }) => {
        await setup();
        for (const source of [here, there]) {
          const earlier = grant(first, source);
          await driver.open(earlier);
          await driver.open(earlier);
          await driver.open(grant(first, source));
          await assertOpen(driver, [{ service: first.name, source }]);
          await driver.close(grant(first, source));
          await assertOpen(driver, []);
        }
      },
    },
    {
      title: 'closes the one grant that it is asked to, and no error is made of closing it again',
      body: async ({ driver, first, second, here, there, setup, grant }) => {
        await setup();
        const grants = [grant(first, here), grant(first, there), grant(second, here)] as const;
        for (const one of grants) await driver.open(one);
        await driver.close(grants[0]);
        const rest = [
          { service: first.name, source: there },
          { service: second.name, source: here },
        ];
        await assertOpen(driver, rest);
        await driver.close(grants[0]);
        await assertOpen(driver, rest);
      },
    },
    {
      title: 'makes no error of closing what was never open',
      body: async ({ driver, first, here, there, setup, grant }) => {
        await setup();
        await driver.close(grant(first, here));
        await driver.close(grant(first, there));
        await assertOpen(driver, []);
      },
    },
    {
      title: 'opens again after closing',
      body: async ({ driver, first, here, setup, grant }) => {
        await setup();
        await driver.open(grant(first, here));
        await driver.close(grant(first, here));
        await driver.open(grant(first, here));
        await assertOpen(driver, [{ service: first.name, source: here }]);
      },
    },
    {
      title: 'opens many at the same time, each of them once',
      body: async ({ driver, services, here, there, setup, grant }) => {
        await setup();
        const grants = services.flatMap((service) => [here, there].map((source) => grant(service, source)));
        await Promise.all([...grants, ...grants].map((one) => driver.open(one)));
        await assertOpen(
          driver,
          grants.map(({ service, source }) => ({ service, source })),
        );
        await Promise.all(grants.map((one) => driver.close(one)));
        await assertOpen(driver, []);
      },
    },
    {
      title: 'refuses a grant for a service that was not set up, and opens nothing',
      body: async ({ driver, first, here, setup, grant }) => {
        await setup();
        const unknown = grant({ ...first, name: 'no-such-service', port: 1 }, here);
        await assertKnockError(driver.open(unknown));
        await assertOpen(driver, []);
      },
    },
    {
      title: 'refuses a grant before set-up and after tear-down',
      body: async ({ driver, first, here, setup, grant }) => {
        await assertKnockError(driver.open(grant(first, here)));
        await setup();
        await driver.teardown();
        await assertKnockError(driver.open(grant(first, here)));
      },
    },
    {
      title: 'has nothing open after tear-down, which may be repeated, and can be set up again',
      body: async ({ driver, first, here, setup, grant }) => {
        await setup();
        await driver.open(grant(first, here));
        await driver.teardown();
        assert.deepEqual(await driver.list(), []);
        await driver.teardown();
        await setup();
        assert.deepEqual(await driver.list(), []);
        await driver.open(grant(first, here));
        await assertOpen(driver, [{ service: first.name, source: here }]);
      },
    },
    {
      title: 'tears down without a set-up',
      body: async ({ driver }) => {
        await driver.teardown();
        assert.deepEqual(await driver.list(), []);
      },
    },
  ];
}

export function connectionCases<D extends FirewallDriver>({
  admits,
}: DriverSuiteOptions<D>): DriverCase<D>[] {
  if (admits === undefined) return [];
  return [
    {
      title: 'admits nobody without a grant',
      body: async ({ driver, services, here, there, setup }) => {
        await setup();
        for (const service of services) {
          for (const source of [here, there]) assert.equal(await admits(driver, service, source), false);
        }
      },
    },
    {
      title: 'admits the connections of a grant, from its source only, and then no more',
      body: async ({ driver, services, here, there, setup, grant }) => {
        await setup();
        for (const service of services) {
          await driver.open(grant(service, here));
          assert.equal(await admits(driver, service, there), false, 'another source');
          const count = service.connections === 'unlimited' ? MANY : service.connections;
          for (let i = 0; i < count; i += 1)
            assert.equal(await admits(driver, service, here), true, service.name);
          if (service.connections === 'unlimited') continue;
          assert.equal(await admits(driver, service, here), false, 'one connection too many');
          assert.ok(!(await driver.list()).some((opening) => opening.service === service.name));
        }
      },
    },
    {
      title: 'admits nobody after the grant was closed',
      body: async ({ driver, services, here, setup, grant }) => {
        await setup();
        for (const service of services) {
          await driver.open(grant(service, here));
          await driver.close(grant(service, here));
          assert.equal(await admits(driver, service, here), false, service.name);
        }
      },
    },
  ];
}

export function expiryCases<D extends FirewallDriver>({
  elapse,
  admits,
}: DriverSuiteOptions<D>): DriverCase<D>[] {
  if (elapse === undefined) return [];
  return [
    {
      title: 'ends an unused opening by itself, in time',
      isTimed: true,
      body: async ({ driver, first, here, there, setup, grant }) => {
        await setup();
        await driver.open(grant(first, here));
        await driver.open(grant(first, there));
        await elapse(driver, first.openForMs + GRACE_MS);
        assert.deepEqual(await driver.list(), []);
        if (admits !== undefined) assert.equal(await admits(driver, first, here), false);
      },
    },
    {
      title: 'counts the time of a replaced grant from the second one',
      isTimed: true,
      body: async (bench) => {
        const { driver, first, here, setup, grant } = bench;
        await setup();
        await assertOpenInTime(bench, async () => {
          await driver.open(grant(first, here));
          await elapse(driver, (first.openForMs * 3) / 4);
          const second = grant(first, here);
          await driver.open(second);
          await elapse(driver, first.openForMs / 2);
          return [second];
        });
        await elapse(driver, first.openForMs / 2 + GRACE_MS);
        assert.deepEqual(await driver.list(), []);
      },
    },
  ];
}
