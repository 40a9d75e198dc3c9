// The books of the open grants: how each ends, what is reported, and what is undone when the firewall fails.

import assert from 'node:assert/strict';
import type { FirewallDriver, Grant, Opening, Service } from '../../lib/firewall/driver.ts';
import { mock } from '../../lib/firewall/mock.ts';
import { GrantManager } from '../../lib/grant/manager.ts';
import { virtualClock } from '../../lib/testing/clock.ts';

const SERVICES: readonly Service[] = [
  { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 5000, connections: 1 },
  { name: 'admin', protocol: 'tcp', port: 8443, openForMs: 60_000, connections: 'unlimited' },
  { name: 'web', protocol: 'tcp', port: 443, openForMs: 5000, connections: 2 },
];
const HERE = '192.0.2.7';
const THERE = '2001:db8::7';

async function setUp(wrap: (driver: FirewallDriver) => Partial<FirewallDriver> = () => ({})) {
  const clock = virtualClock();
  const driver = mock({ clock });
  await driver.setup(SERVICES, { warning: () => undefined });
  const closed: string[] = [];
  const failures: unknown[] = [];
  const shim = Object.assign(Object.create(driver) as FirewallDriver, wrap(driver));
  const manager = new GrantManager({
    driver: shim,
    services: SERVICES,
    clock,
    events: {
      closed: ({ service, source }, reason) => closed.push(`${service} ${source} ${reason}`),
      failed: (error) => failures.push(error),
    },
  });
  const issue = (services: readonly string[] = ['ssh'], source = HERE, client = 'alice') =>
    manager.issue({ client, source, services });
  const one = async (...args: Parameters<typeof issue>): Promise<Grant> =>
    (await issue(...args))[0] ?? assert.fail('nothing was granted');
  const openings = (): string[] => driver.openings.map(({ service, source }) => `${service} ${source}`);
  const listed = (): string[] => manager.open.map(({ service, source }) => `${service} ${source}`);
  return { clock, driver, manager, closed, failures, issue, one, openings, listed };
}

function never<T>(): Promise<T> {
  return new Promise(() => undefined);
}

describe('GrantManager', () => {
  it('opens what was asked for, with everything a driver must know', async () => {
    const { clock, driver, issue, manager } = await setUp();
    const grants = await issue(['ssh', 'admin']);
    assert.deepEqual(
      grants.map(({ id: _id, ...rest }) => rest),
      [
        {
          ...{ client: 'alice', source: HERE, service: 'ssh', protocol: 'tcp', port: 22 },
          ...{ openUntil: clock.now() + 5000, connections: 1 },
        },
        {
          ...{ client: 'alice', source: HERE, service: 'admin', protocol: 'tcp', port: 8443 },
          ...{ openUntil: clock.now() + 60_000, connections: 'unlimited' },
        },
      ],
    );
    assert.deepEqual(driver.openings, grants);
    assert.deepEqual(manager.open, grants);
  });

  it('gives every grant an id of its own, of letters and digits', async () => {
    const { issue } = await setUp();
    const ids = new Set<string>();
    for (let i = 0; i < 100; i += 1) for (const { id } of await issue(['ssh', 'web'])) ids.add(id);
    assert.equal(ids.size, 200);
    for (const id of ids) assert.match(id, /^[a-z0-9]{16}$/u);
  });

  it('reports a grant as used within 300 ms of its last connection, and not before', async () => {
    const { clock, driver, closed, issue, listed } = await setUp();
    await issue(['web']);
    assert.ok(driver.spend('web', HERE));
    await clock.advance(1000);
    assert.deepEqual(closed, []);
    assert.ok(driver.spend('web', HERE));
    await clock.advance(300);
    assert.deepEqual(closed, [`web ${HERE} used`]);
    assert.deepEqual(listed(), []);
  });

  it('reports a grant as expired at its time, closes it, and asks no more', async () => {
    const { clock, driver, closed, issue } = await setUp();
    await issue();
    await clock.advance(4999);
    assert.deepEqual(closed, []);
    await clock.advance(1);
    assert.deepEqual(closed, [`ssh ${HERE} expired`]);
    assert.equal(driver.calls.filter(({ method }) => method === 'close').length, 1);
    await clock.advance(300);
    const calls = driver.calls.length;
    await clock.advance(60_000);
    assert.equal(driver.calls.length, calls);
    assert.equal(clock.pending, 0);
  });

  it('reports a grant that was used at the last moment as used', async () => {
    const { clock, driver, closed, issue } = await setUp();
    await issue();
    await clock.advance(4990);
    assert.ok(driver.spend('ssh', HERE));
    await clock.advance(10);
    assert.deepEqual(closed, [`ssh ${HERE} used`]);
  });

  it('does not report as used what ended while nobody could look', async () => {
    const { clock, driver, closed, issue } = await setUp();
    await issue();
    // A suspended machine: the kernel's clock went on, our timers did not.
    clock.set(clock.now() + 40_000);
    driver.list = () => Promise.resolve([]);
    await clock.advance(5000);
    assert.deepEqual(closed, [`ssh ${HERE} expired`]);
  });

  it('ends grants on time whatever the wall clock does', async () => {
    for (const step of [-3_600_000, 3_600_000]) {
      const { clock, closed, issue } = await setUp();
      await issue();
      clock.set(clock.now() + step);
      await clock.advance(4999);
      assert.deepEqual(
        closed.filter((text) => text.endsWith('expired')),
        [],
      );
      await clock.advance(1);
      assert.equal(closed.length, 1);
    }
  });

  it('takes a grant back by its id, once', async () => {
    const { clock, closed, one, manager, openings } = await setUp();
    const { id } = await one();
    assert.equal(await manager.revoke('0000000000000000'), false);
    assert.equal(await manager.revoke(id), true);
    assert.equal(await manager.revoke(id), false);
    assert.deepEqual(openings(), []);
    await clock.advance(10_000);
    assert.deepEqual(closed, [`ssh ${HERE} revoked`]);
    assert.equal(clock.pending, 0);
  });

  it('keeps a grant whose revocation failed, and still ends it', async () => {
    const { clock, driver, closed, one, manager } = await setUp();
    const { id } = await one();
    driver.failNext('close');
    await assert.rejects(manager.revoke(id), /close failed/u);
    assert.equal(manager.open.length, 1);
    await clock.advance(5000);
    assert.deepEqual(closed, [`ssh ${HERE} expired`]);
  });

  it('lets a second grant for the same source and service take the place and the time of the first', async () => {
    const { clock, closed, one, manager } = await setUp();
    const first = await one();
    await clock.advance(3000);
    const second = await one();
    assert.notEqual(first.id, second.id);
    assert.deepEqual(closed, [`ssh ${HERE} superseded`]);
    assert.deepEqual(manager.open, [second]);
    assert.equal(await manager.revoke(first.id), false);
    await clock.advance(4999);
    assert.equal(closed.length, 1);
    await clock.advance(1);
    assert.deepEqual(closed.slice(1), [`ssh ${HERE} expired`]);
  });

  it('keeps one timer for a source that knocks again and again', async () => {
    const { clock, driver, issue } = await setUp();
    await issue();
    const { pending } = clock;
    for (let i = 0; i < 50; i += 1) await issue();
    assert.equal(clock.pending, pending);
    assert.equal(driver.openings.length, 1);
  });

  it('does not call superseded what was used a moment before', async () => {
    const { closed, driver, issue } = await setUp();
    await issue();
    assert.ok(driver.spend('ssh', HERE));
    await issue();
    assert.deepEqual(closed, [`ssh ${HERE} used`]);
  });

  it('keeps sources and services apart', async () => {
    const { closed, issue, listed } = await setUp();
    await issue(['ssh'], HERE);
    await issue(['ssh'], THERE);
    await issue(['web'], HERE);
    assert.deepEqual(closed, []);
    assert.deepEqual(listed(), [`ssh ${HERE}`, `ssh ${THERE}`, `web ${HERE}`]);
  });

  it('opens all the services or none: the second one failing closes the first', async () => {
    const { clock, driver, closed, failures, issue, openings, listed } = await setUp((good) => ({
      open: (grant) => (grant.service === 'admin' ? Promise.reject(new Error('no')) : good.open(grant)),
    }));
    await assert.rejects(issue(['ssh', 'admin', 'web']), /^Error: no$/u);
    assert.deepEqual([openings(), listed(), closed, failures], [[], [], [], []]);
    const closes = driver.calls.filter(({ method }) => method === 'close').map(({ grant }) => grant?.service);
    // The one that failed as well: it may be half open.
    assert.deepEqual(closes, ['ssh', 'admin']);
    assert.equal(
      driver.calls.some(({ grant }) => grant?.service === 'web'),
      false,
    );
    await clock.advance(1000);
    assert.equal(clock.pending, 0);
  });

  it('goes on undoing when undoing fails, and reports it', async () => {
    const { driver, failures, issue } = await setUp((good) => ({
      open: (grant) => (grant.service === 'web' ? Promise.reject(new Error('no')) : good.open(grant)),
    }));
    driver.failNext('close', new Error('stuck'));
    await assert.rejects(issue(['ssh', 'admin', 'web']), /^Error: no$/u);
    assert.deepEqual(failures.map(String), ['Error: stuck']);
    assert.deepEqual(
      driver.openings.map(({ service }) => service),
      ['ssh'],
    );
  });

  it('reports an earlier grant that went with the failed one', async () => {
    let fail = false;
    const { closed, issue, listed } = await setUp((good) => ({
      open: (grant) => (fail && grant.service === 'web' ? Promise.reject(new Error('no')) : good.open(grant)),
    }));
    await issue(['ssh']);
    fail = true;
    await assert.rejects(issue(['ssh', 'web']));
    assert.deepEqual(closed, [`ssh ${HERE} revoked`]);
    assert.deepEqual(listed(), []);
  });

  it('refuses a service that is not configured, and opens nothing', async () => {
    const { driver, issue } = await setUp();
    await assert.rejects(issue(['ssh', 'telnet']), { name: 'RangeError', message: /'telnet'$/u });
    assert.deepEqual(driver.openings, []);
  });

  it('drops an expired grant from its books even if the firewall cannot clean up behind it', async () => {
    const { clock, driver, closed, failures, issue, listed } = await setUp();
    await issue();
    driver.failNext('close', new Error('stuck'));
    await clock.advance(5000);
    assert.deepEqual([closed, listed()], [[`ssh ${HERE} expired`], []]);
    assert.deepEqual(failures.map(String), ['Error: stuck']);
  });

  it('reports a firewall that cannot be asked once, and once more after it could be', async () => {
    let works = false;
    const { clock, closed, failures, issue } = await setUp((good) => ({
      list: (): Promise<readonly Opening[]> => (works ? good.list() : Promise.reject(new Error('deaf'))),
    }));
    await issue(['admin']);
    await clock.advance(2000);
    assert.deepEqual(failures.map(String), ['Error: deaf']);
    works = true;
    await clock.advance(300);
    works = false;
    await clock.advance(2000);
    assert.deepEqual(failures.map(String), ['Error: deaf', 'Error: deaf']);
    // Not being able to ask is no reason to call a grant used.
    assert.deepEqual(closed, []);
  });

  it('goes on after a grant that failed', async () => {
    const { driver, issue, listed } = await setUp();
    driver.failNext('open');
    const results = await Promise.allSettled([issue(['ssh'], HERE), issue(['ssh'], THERE)]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ['rejected', 'fulfilled'],
    );
    assert.deepEqual(listed(), [`ssh ${THERE}`]);
  });

  it('leaves open grants to the kernel when it stops, says nothing more, and has no timer left', async () => {
    const { clock, driver, closed, issue, manager, openings } = await setUp();
    await issue(['ssh', 'admin']);
    await manager.stop();
    assert.deepEqual(openings(), [`ssh ${HERE}`, `admin ${HERE}`]);
    assert.equal(
      driver.calls.some(({ method }) => method === 'close' || method === 'teardown'),
      false,
    );
    await clock.advance(10_000);
    assert.deepEqual([closed, openings()], [[], [`admin ${HERE}`]]);
    // The mock driver's own timers, which play the kernel's, go with its rules.
    await driver.teardown();
    assert.equal(clock.pending, 0);
  });

  it('opens nothing once it was told to stop, neither what waits in line nor what comes later', async () => {
    let release = (): void => undefined;
    const { clock, driver, issue, manager } = await setUp((good) => ({
      open: (grant) =>
        new Promise((resolve) => {
          release = () => void good.open(grant).then(resolve);
        }),
    }));
    const first = issue(['ssh'], HERE);
    // It may open something else at once, but nothing for the same.
    const second = issue(['ssh'], HERE);
    await clock.advance(0);
    const stopped = manager.stop();
    release();
    await stopped;
    assert.equal((await first).length, 1);
    assert.deepEqual(await second, []);
    assert.deepEqual(await issue(['web']), []);
    assert.equal(driver.calls.filter(({ method }) => method === 'open').length, 1);
  });

  it('has no timer left of a grant whose opening ends after the stop', async () => {
    let release = (): void => undefined;
    const { clock, issue, manager, listed } = await setUp(() => ({
      open: () => new Promise((resolve) => (release = resolve)),
    }));
    const grants = issue();
    await clock.advance(0);
    void manager.stop();
    await clock.advance(0);
    release();
    await grants;
    assert.deepEqual([clock.pending, listed()], [0, []]);
  });

  it('goes on with all other grants when whoever is told of one that ended throws', async () => {
    const clock = virtualClock();
    const driver = mock({ clock });
    const failures: string[] = [];
    const told: string[] = [];
    const manager = new GrantManager({
      ...{ driver, services: SERVICES, clock },
      events: {
        closed({ service }, reason) {
          told.push(`${service} ${reason}`);
          throw new Error('handler');
        },
        failed: (error) => failures.push(String(error)),
      },
    });
    await manager.start({ warning: () => undefined });
    await manager.issue({ client: 'alice', source: HERE, services: ['ssh', 'admin', 'web'] });
    driver.spend('ssh', HERE);
    driver.spend('web', HERE);
    driver.spend('web', HERE);
    await clock.advance(300);
    assert.deepEqual(told, ['ssh used', 'web used']);
    // The same in a change of the services.
    await manager.issue({ client: 'alice', source: HERE, services: ['ssh', 'web'] });
    await manager.update([], { warning: () => undefined });
    assert.deepEqual(told.slice(2).toSorted(), ['admin revoked', 'ssh revoked', 'web revoked']);
    assert.deepEqual([manager.open, failures.length], [[], 5]);
  });

  it('waits in stop() for what hangs, for whoever stops it to give up on', async () => {
    const { clock, issue, manager } = await setUp(() => ({ open: () => never<undefined>() }));
    void issue();
    await clock.advance(0);
    let done = false;
    void manager.stop().then(() => (done = true));
    await clock.advance(60_000);
    assert.deepEqual([done, clock.pending], [false, 0]);
  });
});
