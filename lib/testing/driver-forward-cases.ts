// The cases of driver-suite.ts about a service that lives behind the gateway: who gets there, and what becomes of grants
// when it moves. For a driver that cannot send connections on: that it says so.

import assert from 'node:assert/strict';
import type { FirewallDriver, Service, Target } from '../firewall/driver.ts';
import { assertKnockError, assertOpen, type DriverCase } from './driver-bench.ts';
import type { DriverSuiteOptions } from './driver-suite.ts';

const UNSUPPORTED = /^ERR_FIREWALL_UNSUPPORTED$/u;
export const NAS: Service & { readonly to: Target } = {
  ...{ name: 'nas', protocol: 'tcp', port: 2222, openForMs: 3000, connections: 1 },
  to: { host: '198.51.100.5', port: 22 },
};

export function forwardCases<D extends FirewallDriver>({
  forwarded = NAS,
  admits,
}: DriverSuiteOptions<D>): DriverCase<D>[] {
  if (forwarded === false) return [refusal<D>()];
  const { to } = forwarded;
  return [
    {
      title: 'opens a service behind the gateway like any other, to sources of its family',
      body: async ({ driver, services, here, there, setup, grant }) => {
        await setup([...services, forwarded]);
        await driver.open(grant(forwarded, here));
        await assertOpen(driver, [{ service: forwarded.name, source: here }]);
        await assertKnockError(driver.open(grant(forwarded, there)), UNSUPPORTED);
        await assertOpen(driver, [{ service: forwarded.name, source: here }]);
        await driver.close(grant(forwarded, here));
        await driver.close(grant(forwarded, there));
        await assertOpen(driver, []);
      },
    },
    {
      title:
        'keeps the grants of a service behind the gateway that stays where it is, and ends them when it moves',
      body: async ({ driver, services, here, setup, grant }) => {
        await setup([...services, forwarded]);
        const { to: _, ...local } = forwarded;
        for (const next of [{ ...forwarded, to: { ...to, port: to.port + 1 } }, local]) {
          const one = grant(forwarded, here);
          await driver.open(one);
          await setup([{ ...forwarded, to: { ...to } }, ...services]);
          await assertOpen(driver, [one]);
          await setup([...services, next]);
          await assertOpen(driver, []);
          await setup([...services, forwarded]);
          await assertOpen(driver, []);
        }
      },
    },
    {
      title: 'refuses a service behind the gateway that is nowhere, and keeps what it has',
      body: async ({ driver, services, first, here, setup, grant }) => {
        await setup();
        await driver.open(grant(first, here));
        for (const host of ['127.0.0.1', '0.0.0.0', '224.0.0.1', 'nas.example', '::ffff:10.0.0.5', 'fe80::1'])
          await assertKnockError(setup([...services, { ...forwarded, to: { ...to, host } }]), UNSUPPORTED);
        await assertOpen(driver, [{ service: first.name, source: here }]);
      },
    },
    ...(admits === undefined
      ? []
      : [
          {
            title: 'admits the connections of a grant to a service behind the gateway, and then no more',
            body: async ({ driver, services, here, there, setup, grant }) => {
              await setup([...services, forwarded]);
              assert.equal(await admits(driver, forwarded, here), false, 'before the grant');
              await driver.open(grant(forwarded, here));
              assert.equal(await admits(driver, forwarded, there), false, 'another source');
              assert.equal(await admits(driver, forwarded, here), true);
              assert.equal(await admits(driver, forwarded, here), false, 'one connection too many');
              await assertOpen(driver, []);
              await driver.open(grant(forwarded, here));
              await driver.close(grant(forwarded, here));
              assert.equal(await admits(driver, forwarded, here), false, 'after it was closed');
            },
          } satisfies DriverCase<D>,
        ]),
  ];
}

function refusal<D extends FirewallDriver>(): DriverCase<D> {
  return {
    title: 'refuses a service behind the gateway, and keeps what it has',
    body: async ({ driver, services, first, here, setup, grant }) => {
      await setup();
      await driver.open(grant(first, here));
      await assertKnockError(setup([...services, NAS]), UNSUPPORTED);
      await assertOpen(driver, [{ service: first.name, source: here }]);
    },
  };
}
