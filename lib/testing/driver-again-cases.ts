// The cases of driver-suite.ts about a second set-up: what stays open, what ends, what is closed at once.

import assert from 'node:assert/strict';
import type { FirewallDriver, Service } from '../firewall/driver.ts';
import {
  assertKnockError,
  assertOpen,
  assertOpenInTime,
  GRACE_MS,
  MANY,
  type DriverBench,
  type DriverCase,
} from './driver-bench.ts';
import type { DriverSuiteOptions } from './driver-suite.ts';

export function againCases<D extends FirewallDriver>(options: DriverSuiteOptions<D>): DriverCase<D>[] {
  return [
    ...contractCases<D>(),
    ...refusedCases(options),
    ...connectionCases(options),
    ...expiryCases(options),
  ];
}

function contractCases<D extends FirewallDriver>(): DriverCase<D>[] {
  return [
    {
      title:
        'keeps the grants of services that stay the same at a second set-up, also when their time changes',
      body: async (bench) => {
        const { driver, services, setup, grant } = bench;
        await setup();
        const grants = services.flatMap((service) =>
          sourcesOf(bench).map((source) => grant(service, source)),
        );
        for (const one of grants) await driver.open(one);
        await setup();
        await assertOpen(driver, grants);
        await setup(services.map((service) => ({ ...service, openForMs: service.openForMs * 2 })).reverse());
        await assertOpen(driver, grants);
        for (const one of grants) await driver.close(one);
        await assertOpen(driver, []);
      },
    },
    {
      title: 'ends the grants of a service that a second set-up leaves out or changes, and of no other',
      body: async (bench) => {
        const { driver, services, first, second, setup, grant } = bench;
        const others = services.slice(1);
        for (const next of [
          others,
          [...others, changed(first)],
          [...others, { ...first, port: first.port + 1 }],
        ]) {
          await setup();
          const [gone, stays] = [first, second].map((service) =>
            sourcesOf(bench).map((source) => grant(service, source)),
          );
          for (const one of [...(gone ?? []), ...(stays ?? [])]) await driver.open(one);
          await setup(next);
          await assertOpen(driver, stays ?? []);
          await setup();
          await assertOpen(driver, stays ?? []);
          for (const one of stays ?? []) await driver.close(one);
        }
      },
    },
    {
      title: 'takes grants for what a second set-up brings, and none for what it leaves out',
      body: async ({ driver, services, first, second, here, setup, grant }) => {
        await setup(services.slice(1));
        await setup(services.filter((service) => service !== second));
        await driver.open(grant(first, here));
        await assertKnockError(driver.open(grant(second, here)));
        await assertOpen(driver, [{ service: first.name, source: here }]);
      },
    },
  ];
}

function refusedCases<D extends FirewallDriver>({ refused }: DriverSuiteOptions<D>): DriverCase<D>[] {
  if (refused === undefined) return [];
  return [
    {
      title: 'keeps its services and what is open when a second set-up fails',
      body: async (bench) => {
        const { driver, services, first, second, here, setup, grant } = bench;
        await setup();
        const grants = services.flatMap((service) =>
          sourcesOf(bench).map((source) => grant(service, source)),
        );
        for (const one of grants) await driver.open(one);
        await assertKnockError(setup([second, refused]));
        await assertOpen(driver, grants);
        for (const one of grants) await driver.close(one);
        await driver.open(grant(first, here));
        await assertOpen(driver, [{ service: first.name, source: here }]);
      },
    },
  ];
}

function connectionCases<D extends FirewallDriver>({ admits }: DriverSuiteOptions<D>): DriverCase<D>[] {
  if (admits === undefined) return [];
  return [
    {
      title: 'admits through a grant from before a second set-up what it has left, and then no more',
      body: async (bench) => {
        const { driver, services, here, setup, grant } = bench;
        await setup();
        for (const source of sourcesOf(bench).filter(
          (one) => one !== bench.there && one !== bench.around?.[1],
        )) {
          for (const service of services) {
            const count = service.connections === 'unlimited' ? MANY : service.connections;
            await driver.open(grant(service, source));
            for (let i = 0; i < count; i += 1) {
              await setup();
              assert.equal(await admits(driver, service, here), true, `${service.name} for ${source}`);
            }
            if (service.connections === 'unlimited') await driver.close(grant(service, source));
            assert.equal(await admits(driver, service, here), false, `${service.name} for ${source}`);
          }
        }
      },
    },
    {
      title: 'admits nobody at a service that a second set-up brings, changes or brings back',
      body: async (bench) => {
        const { driver, services, first, here, there, setup, grant } = bench;
        const others = services.slice(1);
        await setup(others);
        for (const next of [services, [...others, changed(first)], services]) {
          await setup(next);
          for (const source of [here, there]) assert.equal(await admits(driver, first, source), false);
          const service = next.find(({ name }) => name === first.name) ?? first;
          for (const source of sourcesOf(bench)) await driver.open(grant(service, source));
        }
        await setup(others);
        await setup();
        for (const source of [here, there]) assert.equal(await admits(driver, first, source), false);
      },
    },
  ];
}

function expiryCases<D extends FirewallDriver>({ elapse, admits }: DriverSuiteOptions<D>): DriverCase<D>[] {
  if (elapse === undefined) return [];
  return [
    {
      title: 'ends a grant from before a second set-up in its own time',
      isTimed: true,
      body: async (bench) => {
        const { driver, first, here, setup, grant } = bench;
        await assertOpenInTime(bench, async () => {
          await setup();
          const grants = sourcesOf(bench).map((source) => grant(first, source));
          for (const one of grants) await driver.open(one);
          await elapse(driver, first.openForMs / 2);
          await setup();
          return grants;
        });
        await elapse(driver, first.openForMs / 2 + GRACE_MS);
        await assertOpen(driver, []);
        if (admits !== undefined) assert.equal(await admits(driver, first, here), false);
      },
    },
  ];
}

function sourcesOf<D extends FirewallDriver>({ here, there, around }: DriverBench<D>): readonly string[] {
  return [here, there, ...(around ?? [])];
}

/** Another service on the same port. */
function changed(service: Service): Service {
  return { ...service, connections: service.connections === 2 ? 1 : 2 };
}
