// What ends a grant before its service's time: a knock's own end, a client that takes back, other services. And grants
// for prefixes beside those for addresses.

import assert from 'node:assert/strict';
import type { FirewallDriver, Grant, Service } from '../../lib/firewall/driver.ts';
import { mock } from '../../lib/firewall/mock.ts';
import { GrantManager } from '../../lib/grant/manager.ts';
import { virtualClock } from '../../lib/testing/clock.ts';

const SSH: Service = { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 5000, connections: 1 };
const ADMIN: Service = { ...SSH, name: 'admin', port: 8443, openForMs: 60_000, connections: 'unlimited' };
const WEB: Service = { ...SSH, name: 'web', port: 443, connections: 2 };
const SERVICES = [SSH, ADMIN, WEB];
const HERE = '192.0.2.7';
const AROUND = '192.0.2.0/24';
const THERE = '2001:db8::7';
const CONTEXT = { warning: () => undefined };

async function setUp(wrap: (driver: FirewallDriver) => Partial<FirewallDriver> = () => ({})) {
  const clock = virtualClock();
  const driver = mock({ clock });
  await driver.setup(SERVICES, CONTEXT);
  const closed: string[] = [];
  const failures: unknown[] = [];
  const shim = Object.assign(Object.create(driver) as FirewallDriver, wrap(driver));
  const manager = new GrantManager({
    ...{ driver: shim, services: SERVICES, clock },
    events: {
      closed: ({ service, source }, reason) => closed.push(`${service} ${source} ${reason}`),
      failed: (error) => failures.push(error),
    },
  });
  const issue = (services: readonly string[] = ['ssh'], source = HERE, client = 'alice') =>
    manager.issue({ client, source, services });
  const openings = (): string[] => driver.openings.map(({ service, source }) => `${service} ${source}`);
  const listed = (): string[] => manager.open.map(({ service, source }) => `${service} ${source}`);
  return { clock, driver, manager, closed, failures, issue, openings, listed };
}

/** A driver whose own limit is the service's time: only close() ends a grant before. */
function kernelLike(closes: (grant: Grant) => void) {
  return (good: FirewallDriver): Partial<FirewallDriver> => ({
    open: (grant) => {
      const service = SERVICES.find(({ name }) => name === grant.service) ?? SSH;
      return good.open({ ...grant, openUntil: virtualStart + service.openForMs });
    },
    close: (grant) => {
      closes(grant);
      return good.close(grant);
    },
  });
}
const virtualStart = virtualClock().now();

describe('GrantManager, asked for an end', () => {
  it('ends a grant at the earlier of the two times', async () => {
    const { clock, manager } = await setUp();
    const start = clock.now();
    for (const [until, openUntil] of [
      [start + 1, start + 1],
      [start + 4999, start + 4999],
      [start + 5000, start + 5000],
      [start + 5001, start + 5000],
      [Number.MAX_SAFE_INTEGER, start + 5000],
    ] as const) {
      const [grant] = await manager.issue({ client: 'alice', source: HERE, services: ['ssh'], until });
      assert.equal(grant?.openUntil, openUntil);
    }
  });

  it('gives each service its own end', async () => {
    const { clock, manager } = await setUp();
    const until = clock.now() + 30_000;
    const grants = await manager.issue({ client: 'alice', source: HERE, services: ['ssh', 'admin'], until });
    assert.deepEqual(
      grants.map(({ openUntil }) => openUntil - clock.now()),
      [5000, 30_000],
    );
  });

  it('closes the port in that very millisecond where the kernel would still keep it open', async () => {
    const closes: number[] = [];
    let nowMs = (): number => 0;
    const { clock, closed, driver, manager, openings } = await setUp(kernelLike(() => closes.push(nowMs())));
    nowMs = () => clock.now();
    const until = clock.now() + 1234;
    await manager.issue({ client: 'alice', source: AROUND, services: ['admin'], until });
    await clock.advance(1233);
    assert.deepEqual([closes, openings()], [[], [`admin ${AROUND}`]]);
    await clock.advance(1);
    assert.deepEqual([closes, openings()], [[until], []]);
    assert.deepEqual(closed, [`admin ${AROUND} expired`]);
    assert.equal(driver.spend('admin', HERE), false);
  });

  it('ends it by elapsed time, whatever the wall clock does', async () => {
    for (const step of [-3_600_000, 3_600_000]) {
      const closes: string[] = [];
      const { clock, manager } = await setUp(kernelLike(({ source }) => closes.push(source)));
      const until = clock.now() + 1000;
      await manager.issue({ client: 'alice', source: HERE, services: ['admin'], until });
      clock.set(clock.now() + step);
      await clock.advance(999);
      assert.deepEqual(closes, []);
      await clock.advance(1);
      assert.deepEqual(closes, [HERE]);
    }
  });

  it('opens nothing for an end that has passed, and ends nothing that is open', async () => {
    const { clock, driver, manager, issue, closed, openings } = await setUp();
    await issue();
    for (const until of [clock.now(), clock.now() - 1, 0, -1]) {
      assert.deepEqual(await manager.issue({ client: 'alice', source: HERE, services: ['ssh'], until }), []);
    }
    assert.equal(driver.calls.filter(({ method }) => method === 'open').length, 1);
    assert.deepEqual([openings(), closed], [[`ssh ${HERE}`], []]);
  });

  it('ends at once what took longer to open than it was to last', async () => {
    let late = (): Promise<void> => Promise.resolve();
    const { clock, manager, closed, openings } = await setUp((good) => ({
      open: async (grant) => {
        await good.open({ ...grant, openUntil: grant.openUntil + 5000 });
        await late();
      },
    }));
    late = () => new Promise((resolve) => void clock.after(2000, resolve));
    void manager.issue({ client: 'alice', source: HERE, services: ['ssh'], until: clock.now() + 1000 });
    await clock.advance(2000);
    assert.deepEqual([closed, openings()], [[`ssh ${HERE} expired`], []]);
  });

  it('is asked again and again of a firewall that cannot close it, as expired, until it does', async () => {
    const { clock, driver, manager, closed, failures, listed, openings } = await setUp(
      kernelLike(() => undefined),
    );
    await manager.issue({ client: 'alice', source: HERE, services: ['ssh'], until: clock.now() + 100 });
    for (let i = 0; i < 3; i += 1) driver.failNext('close', new Error('stuck'));
    await clock.advance(100);
    assert.deepEqual([failures.map(String), closed, listed()], [['Error: stuck'], [], [`ssh ${HERE}`]]);
    await clock.advance(2999);
    assert.deepEqual([failures.length, closed], [3, []]);
    await clock.advance(1);
    assert.deepEqual([closed, listed(), openings()], [[`ssh ${HERE} expired`], [], []]);
    await clock.advance(20_000);
    assert.equal(failures.length, 3);
  });

  it('is kept no longer in the books of a firewall that cannot close it than its kernel keeps it', async () => {
    const { clock, driver, manager, closed, failures, listed } = await setUp(kernelLike(() => undefined));
    await manager.issue({ client: 'alice', source: HERE, services: ['ssh'], until: clock.now() + 100 });
    for (let i = 0; i < 100; i += 1) driver.failNext('close', new Error('stuck'));
    await clock.advance(4000);
    assert.deepEqual([closed, listed()], [[], [`ssh ${HERE}`]]);
    await clock.advance(1500);
    assert.deepEqual([closed, listed()], [[`ssh ${HERE} expired`], []]);
    const count = failures.length;
    await clock.advance(20_000);
    assert.equal(failures.length, count);
  });

  it('comes on time though the clock was set back an hour while it was opened', async () => {
    const { clock, manager, closed } = await setUp((good) => ({
      async open(grant) {
        await good.open(grant);
        clock.set(clock.now() - 3_600_000);
      },
    }));
    await manager.issue({ client: 'alice', source: HERE, services: ['ssh'] });
    await clock.advance(5001);
    assert.deepEqual(closed, [`ssh ${HERE} expired`]);
  });
});

describe('GrantManager, with grants for prefixes', () => {
  it('holds one for a prefix beside one for an address in it', async () => {
    const { closed, issue, listed, openings } = await setUp();
    await issue(['ssh'], AROUND);
    await issue(['ssh'], HERE);
    await issue(['ssh'], AROUND);
    assert.deepEqual(closed, [`ssh ${AROUND} superseded`]);
    assert.deepEqual(listed().sort(), [`ssh ${AROUND}`, `ssh ${HERE}`]);
    assert.deepEqual(openings().sort(), listed().sort());
  });

  it('reports that of the address as used first, and that of the prefix with the next connection', async () => {
    const { clock, closed, driver, issue } = await setUp();
    await issue(['ssh'], AROUND);
    await issue(['ssh'], HERE);
    assert.ok(driver.spend('ssh', HERE));
    await clock.advance(250);
    assert.deepEqual(closed, [`ssh ${HERE} used`]);
    assert.ok(driver.spend('ssh', HERE));
    await clock.advance(250);
    assert.deepEqual(closed, [`ssh ${HERE} used`, `ssh ${AROUND} used`]);
    assert.equal(driver.spend('ssh', HERE), false);
  });

  it('reports that of a prefix as used by another of its addresses, and leaves the address its own', async () => {
    const { clock, closed, driver, issue, listed } = await setUp();
    await issue(['ssh'], AROUND);
    await issue(['ssh'], HERE);
    assert.ok(driver.spend('ssh', '192.0.2.8'));
    await clock.advance(250);
    assert.deepEqual([closed, listed()], [[`ssh ${AROUND} used`], [`ssh ${HERE}`]]);
  });
});

describe('GrantManager.revokeAll', () => {
  it("takes back a client's grants of the named services from every source, and nothing else", async () => {
    const { closed, issue, listed, manager, openings } = await setUp();
    const mine = [...(await issue(['ssh', 'web'])), ...(await issue(['ssh'], AROUND))];
    await issue(['admin']);
    await issue(['ssh'], THERE, 'bob');
    const revoked = await manager.revokeAll({ client: 'alice', services: ['web', 'ssh', 'ssh'] });
    assert.deepEqual(revoked, mine);
    assert.deepEqual(
      closed,
      mine.map(({ service, source }) => `${service} ${source} revoked`),
    );
    assert.deepEqual(listed(), [`admin ${HERE}`, `ssh ${THERE}`]);
    assert.deepEqual(openings(), listed());
  });

  it('finds nothing of a client, a service or a grant that there is not', async () => {
    const { closed, driver, issue, manager, listed } = await setUp();
    await issue(['ssh']);
    for (const [client, services] of [
      ['bob', ['ssh']],
      ['alice', ['web']],
      ['alice', []],
      ['alice', ['telnet', 'toString']],
    ] as const) {
      assert.deepEqual(await manager.revokeAll({ client, services }), []);
    }
    assert.deepEqual([closed, listed()], [[], [`ssh ${HERE}`]]);
    assert.ok(!driver.calls.some(({ method }) => method === 'close'));
  });

  it('does not call revoked what was used a moment before', async () => {
    const { closed, driver, issue, manager } = await setUp();
    await issue(['ssh', 'web']);
    assert.ok(driver.spend('ssh', HERE));
    const revoked = await manager.revokeAll({ client: 'alice', services: ['ssh', 'web'] });
    assert.deepEqual(
      revoked.map(({ service }) => service),
      ['web'],
    );
    assert.deepEqual(closed, [`ssh ${HERE} used`, `web ${HERE} revoked`]);
  });

  it('tries all of them when the firewall fails at one, keeps that one, and says so', async () => {
    const { clock, closed, driver, issue, listed, manager } = await setUp();
    await issue(['ssh', 'web', 'admin']);
    driver.failNext('close', new Error('stuck'));
    const all = { client: 'alice', services: ['ssh', 'web', 'admin'] };
    await assert.rejects(manager.revokeAll(all), /^Error: stuck$/u);
    assert.deepEqual([closed, listed()], [[`web ${HERE} revoked`, `admin ${HERE} revoked`], [`ssh ${HERE}`]]);
    await clock.advance(5000);
    assert.deepEqual(closed.slice(2), [`ssh ${HERE} expired`]);
  });

  it('waits for a grant that is being opened, and takes it back', async () => {
    const { issue, manager, openings } = await setUp();
    const [grants, revoked] = await Promise.all([
      issue(),
      manager.revokeAll({ client: 'alice', services: ['ssh'] }),
    ]);
    assert.deepEqual(revoked, grants);
    assert.deepEqual(openings(), []);
  });
});

describe('GrantManager.update', () => {
  it('keeps the grants of services that stay, and reports the others as revoked', async () => {
    for (const [what, next, gone] of [
      ['nothing', SERVICES, []],
      ['the order and a time', [WEB, { ...SSH, openForMs: 1 }, ADMIN], []],
      ['a service more', [...SERVICES, { ...SSH, name: 'more', port: 1 }], []],
      ['a service less', [SSH, ADMIN], ['web']],
      ['a port', [SSH, ADMIN, { ...WEB, port: 444 }], ['web']],
      ['a protocol', [SSH, ADMIN, { ...WEB, protocol: 'udp' }], ['web']],
      ['a number of connections', [SSH, { ...ADMIN, connections: 1 }, WEB], ['admin']],
      ['a name', [SSH, ADMIN, { ...WEB, name: 'site' }], ['web']],
      ['everything', [], ['ssh', 'admin', 'web']],
    ] as const satisfies readonly (readonly [string, readonly Service[], readonly string[]])[]) {
      const { closed, issue, listed, manager, openings } = await setUp();
      const sources = [HERE, AROUND];
      for (const source of sources) await issue(['ssh', 'admin', 'web'], source);
      await manager.update(next, CONTEXT);
      assert.deepEqual(
        closed,
        sources.flatMap((source) => gone.map((service) => `${service} ${source} revoked`)),
        what,
      );
      assert.equal(listed().length, 6 - closed.length, what);
      assert.deepEqual(openings().sort(), listed().sort(), what);
    }
  });

  it('sets up the firewall with them, in its turn, with what the driver is to be told', async () => {
    const { driver, issue, manager } = await setUp();
    const next = [{ ...SSH, name: 'shell', port: 2222 }];
    const said: string[] = [];
    const first = issue(['ssh']);
    const update = manager.update(next, { warning: (message) => said.push(message) });
    const second = manager.issue({ client: 'alice', source: HERE, services: ['shell'] });
    await Promise.all([first, update, second]);
    const calls = driver.calls.slice(1).filter(({ method }) => method !== 'list');
    assert.deepEqual(
      calls.map(({ method, grant }) => grant?.service ?? method),
      ['ssh', 'setup', 'shell'],
    );
    assert.deepEqual(calls[1]?.services, next);
    assert.deepEqual(
      (await second).map(({ port }) => port),
      [2222],
    );
    await assert.rejects(issue(['ssh']), { name: 'RangeError', message: /'ssh'$/u });
  });

  it('gives new grants the new time, and leaves the old ones theirs', async () => {
    const { clock, closed, issue, manager } = await setUp();
    await issue(['ssh'], HERE);
    await manager.update([{ ...SSH, openForMs: 20_000 }], CONTEXT);
    const [grant] = await issue(['ssh'], THERE);
    assert.equal(grant?.openUntil, clock.now() + 20_000);
    await clock.advance(5000);
    assert.deepEqual(closed, [`ssh ${HERE} expired`]);
    await clock.advance(15_000);
    assert.deepEqual(closed, [`ssh ${HERE} expired`, `ssh ${THERE} expired`]);
  });

  it('changes nothing when the driver refuses: services, grants and their ends are as before', async () => {
    const { clock, closed, driver, issue, listed, manager } = await setUp();
    await issue(['ssh', 'web']);
    driver.failNext('setup', new Error('no'));
    await assert.rejects(manager.update([ADMIN], CONTEXT), /^Error: no$/u);
    assert.deepEqual([closed, listed()], [[], [`ssh ${HERE}`, `web ${HERE}`]]);
    assert.equal((await issue(['web'], THERE)).length, 1);
    assert.ok(driver.spend('web', HERE) && driver.spend('web', HERE));
    await clock.advance(5000);
    assert.deepEqual(closed, [`web ${HERE} used`, `ssh ${HERE} expired`, `web ${THERE} expired`]);
  });

  it('does not call revoked what was used before its service went', async () => {
    const { closed, driver, issue, manager } = await setUp();
    await issue(['ssh', 'admin']);
    assert.ok(driver.spend('ssh', HERE));
    await manager.update([], CONTEXT);
    assert.deepEqual(closed, [`ssh ${HERE} used`, `admin ${HERE} revoked`]);
  });

  it('leaves no timer behind a grant that went with its service', async () => {
    const { clock, issue, manager } = await setUp();
    await issue(['ssh', 'web', 'admin']);
    await manager.update([], CONTEXT);
    await clock.advance(250);
    assert.equal(clock.pending, 0);
  });

  it('leaves the firewall alone once it was told to stop', async () => {
    const { driver, issue, manager, openings } = await setUp();
    await issue(['ssh']);
    const stopped = manager.stop();
    await manager.update([], CONTEXT);
    await stopped;
    assert.equal(driver.calls.filter(({ method }) => method === 'setup').length, 1);
    assert.deepEqual(openings(), [`ssh ${HERE}`]);
  });
});
