// The cases of driver-suite.ts about grants for prefixes.

import assert from 'node:assert/strict';
import type { FirewallDriver, Service } from '../firewall/driver.ts';
import {
  assertKnockError,
  assertOpen,
  GRACE_MS,
  MANY,
  type DriverBench,
  type DriverCase,
} from './driver-bench.ts';
import type { DriverSuiteOptions } from './driver-suite.ts';

/** For a driver that cannot open to a prefix: it says so, and opens nothing. */
export function noPrefixCases<D extends FirewallDriver>(): DriverCase<D>[] {
  return [
    {
      title: 'refuses a grant for a prefix, which it cannot open to, and opens nothing',
      body: async ({ driver, first, setup, grant }) => {
        await setup();
        for (const source of ['192.0.2.0/24', '2001:db8:0:100::/56']) {
          await assertKnockError(driver.open(grant(first, source)), /^ERR_FIREWALL_UNSUPPORTED$/u);
        }
        await assertOpen(driver, []);
      },
    },
  ];
}

export function prefixCases<D extends FirewallDriver>(options: DriverSuiteOptions<D>): DriverCase<D>[] {
  return [...contractCases<D>(), ...connectionCases(options), ...expiryCases(options)];
}

function contractCases<D extends FirewallDriver>(): DriverCase<D>[] {
  return [
    {
      title: 'lists a grant for a prefix as it was written, for every service, and closes it',
      body: async (bench) => {
        const { driver, services, setup, grant } = bench;
        await setup();
        for (const service of services) {
          const grants = prefixesOf(bench).map((source) => grant(service, source));
          for (const one of grants) await driver.open(one);
          await assertOpen(
            driver,
            grants.map(({ source }) => ({ service: service.name, source })),
          );
          for (const one of grants) await driver.close(one);
          await assertOpen(driver, []);
        }
      },
    },
    {
      title: 'replaces a grant for a prefix by a second one',
      body: async (bench) => {
        const { driver, first, setup, grant } = bench;
        await setup();
        for (const source of prefixesOf(bench)) {
          await driver.open(grant(first, source));
          await driver.open(grant(first, source));
          await assertOpen(driver, [{ service: first.name, source }]);
          await driver.close(grant(first, source));
          await assertOpen(driver, []);
        }
      },
    },
    {
      title: 'keeps a grant for a prefix apart from one for an address in it',
      body: async (bench) => {
        const { driver, first, here, setup, grant } = bench;
        const [around] = prefixesOf(bench);
        await setup();
        for (const [closed, left] of [
          [here, around],
          [around, here],
        ] as const) {
          await driver.open(grant(first, around));
          await driver.open(grant(first, here));
          await driver.close(grant(first, closed));
          await assertOpen(driver, [{ service: first.name, source: left }]);
          await driver.close(grant(first, left));
        }
      },
    },
    {
      title: 'makes no error of closing a prefix that was never open',
      body: async (bench) => {
        const { driver, services, setup, grant } = bench;
        await setup();
        for (const service of services) {
          for (const source of prefixesOf(bench)) await driver.close(grant(service, source));
        }
        await assertOpen(driver, []);
      },
    },
    {
      title: 'opens to addresses and prefixes at the same time, each of them once',
      body: async (bench) => {
        const { driver, services, here, there, setup, grant } = bench;
        await setup();
        const sources = [here, there, ...prefixesOf(bench)];
        const grants = services.flatMap((service) => sources.map((source) => grant(service, source)));
        await Promise.all([...grants, ...grants].map((one) => driver.open(one)));
        await assertOpen(driver, grants);
        await Promise.all(grants.map((one) => driver.close(one)));
        await assertOpen(driver, []);
      },
    },
  ];
}

function connectionCases<D extends FirewallDriver>({ admits }: DriverSuiteOptions<D>): DriverCase<D>[] {
  if (admits === undefined) return [];
  return [
    {
      title: 'admits the connections of a grant for a prefix, from its addresses only, and then no more',
      body: async (bench) => {
        const { driver, services, here, there, setup, grant } = bench;
        const [around, aroundThere] = prefixesOf(bench);
        await setup();
        for (const service of services.filter(isLimited)) {
          for (const [prefix, inside, outside] of [
            [around, here, there],
            [aroundThere, there, here],
          ] as const) {
            await driver.open(grant(service, prefix));
            assert.equal(await admits(driver, service, outside), false, 'another source');
            for (let i = 0; i < connectionsOf(service); i += 1)
              assert.equal(await admits(driver, service, inside), true, service.name);
            assert.equal(await admits(driver, service, inside), false, 'one connection too many');
            await assertOpen(driver, []);
          }
        }
      },
    },
    {
      title: 'admits any number through a grant for a prefix that has no number, until it is closed',
      body: async (bench) => {
        const { driver, services, here, setup, grant } = bench;
        const [around] = prefixesOf(bench);
        await setup();
        for (const service of services.filter((one) => !isLimited(one))) {
          await driver.open(grant(service, around));
          for (let i = 0; i < MANY; i += 1)
            assert.equal(await admits(driver, service, here), true, service.name);
          await driver.close(grant(service, around));
          assert.equal(await admits(driver, service, here), false, service.name);
        }
      },
    },
    {
      title: "spends an address's own grant before that of a prefix around it, whichever came first",
      body: async (bench) => {
        const { driver, services, here, setup, grant } = bench;
        const [around] = prefixesOf(bench);
        await setup();
        for (const service of services.filter(isLimited)) {
          for (const sources of [
            [here, around],
            [around, here],
          ]) {
            for (const source of sources) await driver.open(grant(service, source));
            for (const left of [[{ service: service.name, source: around }], []]) {
              for (let i = 0; i < connectionsOf(service); i += 1)
                assert.equal(await admits(driver, service, here), true, service.name);
              await assertOpen(driver, left);
            }
            assert.equal(await admits(driver, service, here), false, 'one connection too many');
          }
        }
      },
    },
  ];
}

function expiryCases<D extends FirewallDriver>({ elapse, admits }: DriverSuiteOptions<D>): DriverCase<D>[] {
  if (elapse === undefined) return [];
  return [
    {
      title: 'ends an unused opening to a prefix by itself, in time',
      isTimed: true,
      body: async (bench) => {
        const { driver, first, here, setup, grant } = bench;
        await setup();
        for (const source of prefixesOf(bench)) await driver.open(grant(first, source));
        await elapse(driver, first.openForMs + GRACE_MS);
        await assertOpen(driver, []);
        if (admits !== undefined) assert.equal(await admits(driver, first, here), false);
      },
    },
  ];
}

function prefixesOf<D extends FirewallDriver>({ around }: DriverBench<D>): readonly [string, string] {
  assert.ok(around !== null);
  return around;
}

function isLimited({ connections }: Service): boolean {
  return connections !== 'unlimited';
}

function connectionsOf({ connections }: Service): number {
  return Number(connections);
}
