// The half with root is asked for things: what comes of it in the firewall, how much there may be of it, and which filters
// may be captured with.

import assert from 'node:assert/strict';
import { captureFilter } from '../../lib/capture/filter.ts';
import { KnockError } from '../../lib/errors.ts';
import { MOST_LIVE } from '../../lib/privilege/ledger.ts';
import { grantAt, guardBench, need, RULES, service } from './support.ts';

const REFUSED = { code: 'ERR_WARDEN' };
const address = (n: number): string => `198.18.${n >> 8}.${n & 255}`;

describe('the half with root', () => {
  it('opens and closes what the configuration allows', async () => {
    const { guard, driver, clock } = guardBench();
    assert.deepEqual(await guard.setup(), []);
    const grant = grantAt(clock.now());
    await guard.open(grant);
    assert.deepEqual(await guard.list(), [{ service: 'ssh', source: grant.source }]);
    await guard.close(grant);
    assert.deepEqual(driver.openings, []);
  });

  it('opens nothing before the ports are closed, and nothing that the check refuses', async () => {
    const { guard, driver, clock, refused } = guardBench();
    await assert.rejects(guard.open(grantAt(clock.now())), REFUSED);
    await guard.setup();
    await assert.rejects(guard.open(grantAt(clock.now(), { port: 23 })), REFUSED);
    assert.ok(!driver.calls.some(({ method }) => method === 'open'));
    assert.deepEqual(refused, [
      'a grant that comes before the ports are closed',
      'a grant that is not as its service is configured',
    ]);
  });

  it('closes nothing that is for no configured service', async () => {
    const { guard, driver, clock } = guardBench();
    await guard.setup();
    await assert.rejects(guard.close(grantAt(clock.now(), { service: 'telnet', port: 23 })), REFUSED);
    assert.ok(!driver.calls.some(({ method }) => method === 'close'));
  });

  it('sets up what its own configuration says, once', async () => {
    const { guard, driver } = guardBench();
    await guard.setup();
    await assert.rejects(guard.setup(), REFUSED);
    assert.deepEqual(
      driver.calls.map(({ services }) => services),
      [RULES.services],
    );
  });

  it('goes by what was read anew once the firewall has taken it, and not before', async () => {
    const bench = guardBench();
    const { guard, clock } = bench;
    await guard.setup();
    const extra = grantAt(clock.now(), { service: 'extra', port: 99 });
    bench.next = {
      ...RULES,
      services: [...RULES.services, service('extra', 99)],
      clients: [{ name: 'alice', services: ['ssh', 'extra'] }],
    };
    assert.equal(await guard.reload(), 'files');
    await assert.rejects(guard.open(extra), REFUSED);
    await guard.setup();
    await guard.open(extra);
    await assert.rejects(
      guard.open(grantAt(clock.now(), { client: 'bob', ...{ service: 'admin', port: 8443 } })),
    );
  });

  it('keeps to the earlier rules when the firewall has not taken the new ones', async () => {
    const bench = guardBench();
    const { guard, driver, clock } = bench;
    await guard.setup();
    bench.next = { ...RULES, services: [service('extra', 99)], clients: [] };
    await guard.reload();
    driver.failNext('setup');
    await assert.rejects(guard.setup(), { code: 'ERR_FIREWALL_COMMAND' });
    await guard.open(grantAt(clock.now()));
    await assert.rejects(guard.setup(), REFUSED, 'the new ones are dropped');
  });

  it('tells the first set-up of those grants of an earlier run that it would open', async () => {
    const { guard, driver, clock } = guardBench();
    const held: unknown[] = [];
    const setup = driver.setup.bind(driver);
    driver.setup = (services, context) => {
      held.push(...(context.held ?? []));
      return setup(services, context);
    };
    const good = grantAt(clock.now());
    guard.hold([good, grantAt(clock.now(), { port: 23 }), grantAt(clock.now(), { client: 'mallory' })]);
    await guard.setup();
    assert.deepEqual(held, [good]);
    assert.throws(() => {
      guard.hold([good]);
    }, REFUSED);
  });

  it('has a limit to how much is open, and to how much is opened in a second', async () => {
    const { guard, clock, refused } = guardBench();
    await guard.setup();
    let opened = 0;
    const open = async (n: number): Promise<void> => {
      await guard.open(grantAt(clock.now(), { source: address(n) }));
      opened += 1;
    };
    for (let n = 0; n < 10_000; n += 1) await open(n);
    await assert.rejects(open(10_000), REFUSED);
    assert.match(String(refused), /too many grants a second/u);
    // Half a second brings a thousand more.
    await clock.advance(500);
    for (let n = 10_000; n < 11_000; n += 1) await open(n);
    await assert.rejects(open(11_000), REFUSED);
    await clock.advance(4000);
    for (let n = 11_000; n < MOST_LIVE; n += 1) await open(n);
    await assert.rejects(open(MOST_LIVE), { code: 'ERR_FIREWALL_FULL' });
    assert.equal(opened, MOST_LIVE);
    // What was used, or has ended, makes room.
    await clock.advance(40_000);
    await open(MOST_LIVE);
  }).timeout(120_000);

  it('counts what was used no more', async () => {
    const { guard, driver, clock } = guardBench();
    await guard.setup();
    for (let round = 0; round < 3; round += 1) {
      for (let n = 0; n < 8000; n += 1) {
        await guard.open(grantAt(clock.now(), { source: address(n + 8000 * round) }));
        driver.spend('ssh', address(n + 8000 * round));
      }
      await guard.list();
      await clock.advance(5000);
    }
  }).timeout(120_000);

  it('closes by itself, where no kernel does, what the other half did not close', async () => {
    const { guard, driver, clock } = guardBench('eth0', false);
    await guard.setup();
    const closes = (): number => driver.calls.filter(({ method }) => method === 'close').length;
    await guard.open(grantAt(clock.now()));
    driver.failNext('close');
    await clock.advance(30_500);
    assert.equal(closes(), 0, 'the other half has a second for it');
    await clock.advance(2000);
    assert.equal(closes(), 1);
    await clock.advance(12_000);
    assert.equal(closes(), 2, 'again, since it failed');
    await clock.advance(60_000);
    assert.equal(closes(), 2);
    await guard.open(grantAt(clock.now()));
    await guard.stop();
    assert.equal(closes(), 3, 'and at its own end');
  });

  it('closes nothing that took the place of what it wanted to close', async () => {
    const { guard, driver, clock } = guardBench('eth0', false);
    await guard.setup();
    await guard.open(grantAt(clock.now()));
    // The other half closes late, for a slow firewall; meanwhile there is a new knock, and this half wants to close, too.
    const close = driver.close.bind(driver);
    let finish = (): void => undefined;
    const slow = new Promise<void>((resolve) => (finish = resolve));
    driver.close = (opening) => slow.then(() => close(opening));
    await clock.advance(30_500);
    const closing = guard.close(grantAt(0));
    const next = grantAt(clock.now(), { id: 'a2' });
    const opening = guard.open(next);
    await clock.advance(2000);
    finish();
    await Promise.all([closing, opening]);
    await clock.advance(0);
    assert.deepEqual(driver.openings, [next]);
  });

  it('opens nothing after its end, not even what waits for the firewall then', async () => {
    const bench = guardBench('eth0', false);
    const { guard, driver, clock } = bench;
    await guard.setup();
    await guard.open(grantAt(clock.now()));
    await guard.reload();
    const settingUp = guard.setup();
    const opening = guard.open(grantAt(clock.now(), { source: '192.0.2.8' }));
    const stopping = guard.stop();
    await assert.rejects(opening, REFUSED);
    await Promise.all([settingUp, stopping]);
    assert.deepEqual(driver.openings, []);
  });

  it('captures only with filters that the schemes ask for', async () => {
    const bench = guardBench();
    const { guard, clock } = bench;
    const filter = (...ports: number[]): string => captureFilter(ports.map(need), clock.now());
    guard.requireFilter(filter(7000));
    for (const text of ['', 'tcp', filter(7001), filter(7000, 7001), `${filter(7000)} or udp`]) {
      assert.throws(() => {
        guard.requireFilter(text);
      }, REFUSED);
    }
    await guard.setup();
    bench.next = { ...RULES, needs: [need(7001)] };
    await guard.reload();
    guard.requireFilter(filter(7001, 7000));
    assert.throws(() => {
      guard.requireFilter(filter(7001));
    }, REFUSED);
    await guard.setup();
    guard.requireFilter(filter(7001));
    guard.requireFilter(filter(7000, 7001));
    assert.throws(() => {
      guard.requireFilter(filter(7000));
    }, REFUSED);
  });

  it('follows hints that change with the hour, a minute and a half early and late', () => {
    const bench = guardBench();
    const hints = (timeMs: number): readonly number[] => [Math.floor(timeMs / 3_600_000)];
    const needs = [{ protocol: 'udp', ports: [1, 1], payloadLength: 480, hints } as const];
    const rules = { ...RULES, needs };
    bench.next = rules;
    return bench.guard
      .setup()
      .then(() => bench.guard.reload())
      .then(() => bench.guard.setup())
      .then(() => {
        const now = bench.clock.now();
        bench.guard.requireFilter(captureFilter(needs, now - 80_000));
        assert.throws(() => {
          bench.guard.requireFilter(captureFilter(needs, now - 2 * 3_600_000));
        }, REFUSED);
      });
  });

  it('captures nothing where a socket is bound, and not again and again', () => {
    const filter = captureFilter([need(7000)], guardBench().clock.now());
    assert.throws(() => {
      guardBench(null).guard.requireFilter(filter);
    }, REFUSED);
    const { guard } = guardBench();
    for (let n = 0; n < 30; n += 1) guard.requireFilter(filter);
    assert.throws(() => {
      guard.requireFilter(filter);
    }, REFUSED);
  });

  it('passes on why the firewall refused', async () => {
    const { guard, driver, clock } = guardBench();
    await guard.setup();
    driver.failNext('open', new KnockError('ERR_FIREWALL_FULL', 'full'));
    await assert.rejects(guard.open(grantAt(clock.now())), { code: 'ERR_FIREWALL_FULL', message: 'full' });
  });
});
