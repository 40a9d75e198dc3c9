// The suite that every firewall driver must pass, and what is special about this one.

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isKnockError } from 'portknock';
import { driverConformance } from 'portknock/testing';
import { FakeCloud } from './fake-cloud.js';
import { securityGroup } from './security-group.js';

const ADMIN = { name: 'admin', protocol: 'tcp', port: 8443, openForMs: 60_000, connections: 'unlimited' };
const VPN = { name: 'vpn', protocol: 'udp', port: 1194, openForMs: 60_000, connections: 'unlimited' };
/** For a cloud that is in this process. */
const PATIENCE = { pauseMs: 2 };
const CONTEXT = { warning: () => undefined };
const RULE = { protocol: 'tcp', port: 8443, cidr: '192.0.2.7/32', description: 'portknock admin' };

const grantOf = (changes = {}) => ({
  ...{ id: 'g1', client: 'alice', source: '192.0.2.7', service: 'admin', protocol: 'tcp', port: 8443 },
  ...{ openUntil: Date.now() + 60_000, connections: 'unlimited' },
  ...changes,
});

describe('security-group, as a firewall driver', () => {
  let cloud;
  const cases = driverConformance({
    // Two services that admit any number, as a group can; and no `elapse`: rules do not end by themselves.
    services: [ADMIN, VPN],
    forwarded: false,
    make: async () => {
      cloud = new FakeCloud();
      return securityGroup(cloud, PATIENCE);
    },
    admits: async (_driver, { protocol, port }, source) => cloud.lets(protocol, port, source),
  });
  for (const { title, run } of cases) it(title, run);
});

describe('security-group', () => {
  it('is not open before the cloud is, and not closed before the cloud is', async () => {
    const cloud = new FakeCloud({ lagMs: 40 });
    const driver = securityGroup(cloud, PATIENCE);
    await driver.setup([ADMIN], CONTEXT);
    await driver.open(grantOf());
    assert.equal(cloud.lets('tcp', 8443, '192.0.2.7'), true);
    await driver.close(grantOf());
    assert.equal(cloud.lets('tcp', 8443, '192.0.2.7'), false);
  });

  it('waits when it is throttled, and fails closed when it is for long', async () => {
    const patient = securityGroup(new FakeCloud({ burst: 1, perSecond: 100 }), PATIENCE);
    await patient.setup([ADMIN], CONTEXT);
    await patient.open(grantOf());
    const cloud = new FakeCloud({ burst: 3, perSecond: 0 });
    const driver = securityGroup(cloud, PATIENCE);
    await driver.setup([ADMIN], CONTEXT);
    cloud.authorize = () => Promise.reject(Object.assign(new Error('no'), { code: 'Throttled' }));
    await assert.rejects(driver.open(grantOf()), isKnockError);
    assert.equal(cloud.lets('tcp', 8443, '192.0.2.7'), false);
  });

  it('asks the cloud for nothing when it is asked what is open', async () => {
    const cloud = new FakeCloud();
    const driver = securityGroup(cloud, PATIENCE);
    await driver.setup([ADMIN], CONTEXT);
    await driver.open(grantOf());
    const { calls } = cloud;
    assert.deepEqual(await driver.list(), [{ service: 'admin', source: '192.0.2.7' }]);
    assert.equal(cloud.calls, calls);
  });

  it('clears away what a run that crashed left open, unless the listener knows of it, and nothing of others', async () => {
    const cloud = new FakeCloud({ lagMs: 0 });
    await cloud.authorize(RULE);
    await cloud.authorize({ ...RULE, cidr: '192.0.2.8/32' });
    await cloud.authorize({ ...RULE, cidr: '192.0.2.9/32', description: 'the office' });
    const driver = securityGroup(cloud, PATIENCE);
    await driver.setup([ADMIN], { ...CONTEXT, held: [grantOf()] });
    const lets = ['192.0.2.7', '192.0.2.8', '192.0.2.9'].map((source) => cloud.lets('tcp', 8443, source));
    assert.deepEqual(lets, [true, false, true]);
    await driver.close(grantOf());
    await driver.teardown();
    assert.deepEqual(
      (await cloud.describe()).map(({ description }) => description),
      ['the office'],
    );
  });
});
