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

  it('spends the longest grant that holds the address, its own before all', async () => {
    const driver = mock();
    await driver.setup([{ ...SSH, connections: 2 }], CONTEXT);
    const sources = ['192.0.0.0/16', '192.0.2.7', '192.0.2.0/24', '192.0.2.0/28', '2001:db8::/56'];
    for (const source of sources) await driver.open(grantOf({ source, connections: 2 }));
    const left = (): string[] => driver.openings.map(({ source }) => source);
    const order = ['192.0.2.7', '192.0.2.0/28', '192.0.2.0/24', '192.0.0.0/16'];
    for (const [i, source] of order.entries()) {
      for (let connection = 0; connection < 2; connection += 1) {
        assert.ok(left().includes(source), source);
        assert.ok(driver.spend('ssh', '192.0.2.7'), source);
      }
      assert.equal(left().length, sources.length - i - 1);
    }
    assert.deepEqual(left(), ['2001:db8::/56']);
    assert.equal(driver.spend('ssh', '192.0.2.7'), false);
    assert.equal(driver.spend('ssh', '2001:db8:0:ff::1'), true);
  });

  it('admits by a prefix only its addresses, and only at its service', async () => {
    const driver = mock();
    await driver.setup([SSH, { ...SSH, name: 'web', port: 443 }], CONTEXT);
    await driver.open(grantOf({ source: '192.0.2.0/24' }));
    for (const source of ['192.0.3.0', '192.0.1.255', '::c000:207', 'nowhere', '192.0.2.0/25', '']) {
      assert.equal(driver.spend('ssh', source), false, source);
    }
    assert.equal(driver.spend('web', '192.0.2.7'), false);
    assert.equal(driver.spend('ssh', '192.0.2.255'), true);
  });

  it('goes over to the prefix once the address had its time, which is still listed then', async () => {
    const clock = virtualClock();
    const driver = mock({ clock });
    await driver.setup([SSH], CONTEXT);
    await driver.open(grantOf({ openUntil: clock.now() + 1000 }));
    await driver.open(grantOf({ source: '192.0.2.0/24', openUntil: clock.now() + 2000 }));
    await clock.advance(1000);
    assert.equal((await driver.list()).length, 2);
    assert.equal(driver.spend('ssh', '192.0.2.7'), true);
    assert.equal(driver.spend('ssh', '192.0.2.7'), false);
    assert.deepEqual(await driver.list(), [{ service: 'ssh', source: '192.0.2.7' }]);
  });

  it('refuses a source that is no canonical text, which would be a second key for one opening', async () => {
    const driver = mock();
    await driver.setup([SSH], CONTEXT);
    for (const source of ['192.0.2.7/24', '192.0.2.7/32', '0.0.0.0/0', '2001:DB8::1', 'nowhere\n']) {
      await assert.rejects(driver.open(grantOf({ source })), { code: 'ERR_FIREWALL_UNSUPPORTED' });
    }
    assert.deepEqual(driver.openings, []);
  });

  it('changes nothing at a second set-up that fails', async () => {
    const driver = mock();
    await driver.setup([SSH], CONTEXT);
    await driver.open(grantOf());
    driver.failNext('setup');
    await assert.rejects(driver.setup([], CONTEXT));
    assert.equal(driver.openings.length, 1);
    assert.equal(driver.spend('ssh', '192.0.2.7'), true);
    await driver.open(grantOf());
  });

  it('leaves no timer behind a grant that a second set-up ended', async () => {
    const clock = virtualClock();
    const driver = mock({ clock });
    await driver.setup([SSH], CONTEXT);
    await driver.open(grantOf({ openUntil: clock.now() + 5000 }));
    await driver.setup([{ ...SSH, connections: 2 }], CONTEXT);
    assert.equal(clock.pending, 0);
  });
});
