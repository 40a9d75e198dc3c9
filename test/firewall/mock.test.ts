// What the mock driver does beyond the contract: it remembers, fails on demand, and plays connections and time.

import assert from 'node:assert/strict';
import { isKnockError } from '../../lib/errors.ts';
import type { Grant, Service } from '../../lib/firewall/driver.ts';
import { mock } from '../../lib/firewall/mock.ts';
import { virtualClock } from '../../lib/testing/clock.ts';

const SSH: Service = { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 30_000, connections: 1 };
const CONTEXT = { warning: () => undefined };

function grantOf(changes: Partial<Grant> = {}): Grant {
  const base = {
    id: 'g1',
    client: 'alice',
    source: '192.0.2.7',
    service: 'ssh',
    protocol: 'tcp',
    port: 22,
  } as const;
  return { ...base, openUntil: Date.now() + 30_000, connections: 1, ...changes };
}

describe('mock', () => {
  it('is not a real firewall', () => {
    assert.equal(mock().real, false);
  });

  it('records every call with what it was given, failed ones too', async () => {
    const driver = mock();
    const grant = grantOf();
    await driver.setup([SSH], CONTEXT);
    await driver.open(grant);
    driver.failNext('close');
    await assert.rejects(driver.close(grant));
    await driver.list();
    await driver.teardown();
    assert.deepEqual(driver.calls, [
      { method: 'setup', services: [SSH] },
      { method: 'open', grant },
      { method: 'close', grant },
      { method: 'list' },
      { method: 'teardown' },
    ]);
  });

  it('fails once for each time it was told to, with the error it was told', async () => {
    const driver = mock();
    await driver.setup([SSH], CONTEXT);
    const told = new Error('told');
    driver.failNext('open', told);
    driver.failNext('open');
    await assert.rejects(driver.open(grantOf()), told);
    await assert.rejects(
      driver.open(grantOf()),
      (error) => isKnockError(error) && error.code === 'ERR_FIREWALL_COMMAND',
    );
    assert.deepEqual(driver.openings, []);
    await driver.open(grantOf());
    assert.deepEqual(driver.openings.length, 1);
  });

  it('keeps an opening whose close failed', async () => {
    const driver = mock();
    await driver.setup([SSH], CONTEXT);
    await driver.open(grantOf());
    driver.failNext('close');
    await assert.rejects(driver.close(grantOf()));
    assert.equal(driver.openings.length, 1);
  });

  for (const { connections, admitted } of [
    { connections: 1, admitted: 1 },
    { connections: 3, admitted: 3 },
    { connections: 'unlimited', admitted: 10 },
  ] as const) {
    it(`admits ${String(admitted)} of 10 connections through a grant for ${String(connections)}`, async () => {
      const driver = mock();
      await driver.setup([SSH], CONTEXT);
      await driver.open(grantOf({ connections }));
      let count = 0;
      for (let i = 0; i < 10; i += 1) if (driver.spend('ssh', '192.0.2.7')) count += 1;
      assert.equal(count, admitted);
      assert.equal(driver.openings.length, connections === 'unlimited' ? 1 : 0);
    });
  }

  it('ends an opening exactly at its time, whatever the wall clock does meanwhile', async () => {
    const clock = virtualClock();
    const driver = mock({ clock });
    await driver.setup([SSH], CONTEXT);
    await driver.open(grantOf({ openUntil: clock.now() + 5000 }));
    clock.set(0);
    await clock.advance(4999);
    assert.equal(driver.openings.length, 1);
    await clock.advance(1);
    assert.equal(driver.openings.length, 0);
  });

  it('does not open a grant whose time is over', async () => {
    const clock = virtualClock();
    const driver = mock({ clock });
    await driver.setup([SSH], CONTEXT);
    await driver.open(grantOf({ openUntil: clock.now() }));
    assert.deepEqual(driver.openings, []);
  });

  it('leaves no timer behind a grant that was closed, spent, replaced or torn down', async () => {
    const clock = virtualClock();
    const driver = mock({ clock });
    const grant = grantOf({ openUntil: clock.now() + 5000 });
    await driver.setup([SSH], CONTEXT);
    await driver.open(grant);
    const timers = clock.pending;
    await driver.open(grant);
    assert.equal(clock.pending, timers);
    await driver.close(grant);
    assert.equal(clock.pending, 0);
    await driver.open(grant);
    assert.ok(driver.spend('ssh', grant.source));
    assert.equal(clock.pending, 0);
    await driver.open(grant);
    await driver.teardown();
    assert.equal(clock.pending, 0);
  });

  it('refuses a grant that contradicts its service, and prints nothing of it unescaped', async () => {
    const driver = mock();
    await driver.setup([SSH], CONTEXT);
    for (const wrong of [{ port: 23 }, { protocol: 'udp' as const }, { service: 'a\nb' }]) {
      await assert.rejects(driver.open(grantOf(wrong)), (error) => {
        assert.ok(isKnockError(error));
        assert.equal(error.code, 'ERR_FIREWALL_UNSUPPORTED');
        assert.doesNotMatch(error.message, /\n/u);
        return true;
      });
    }
    assert.deepEqual(driver.openings, []);
  });
});
