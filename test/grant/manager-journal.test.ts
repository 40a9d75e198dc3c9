// Grants and their record: recorded before they open, taken over at the next start, closed where nothing else would end
// them, however often that fails.

import assert from 'node:assert/strict';
import type { Clock } from '../../lib/clock.ts';
import type { FirewallDriver, Grant, Service } from '../../lib/firewall/driver.ts';
import { mock } from '../../lib/firewall/mock.ts';
import type { GrantJournal } from '../../lib/grant/journal.ts';
import { GrantManager } from '../../lib/grant/manager.ts';
import { virtualClock, type VirtualClock } from '../../lib/testing/clock.ts';

const SSH: Service = { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 5000, connections: 1 };
const WEB: Service = { name: 'web', protocol: 'tcp', port: 443, openForMs: 60_000, connections: 1 };
const HERE = '192.0.2.7';
const IGNORES = { warning: (): void => undefined };

/** A record that stays when its manager goes, and fails when told to. */
function record(log: string[]) {
  const live = new Map<string, Grant>();
  const state = { fails: false, isOpen: false };
  const journal: GrantJournal = {
    open() {
      state.isOpen = true;
      return Promise.resolve([...live.values()]);
    },
    add(grants) {
      if (state.fails) return Promise.reject(new Error('disk full'));
      for (const grant of grants) live.set(grant.id, grant);
      log.push(...grants.map(({ service }) => `recorded ${service}`));
      return Promise.resolve();
    },
    remove(grants) {
      for (const { id } of grants) live.delete(id);
      return Promise.resolve();
    },
    close() {
      state.isOpen = false;
      return Promise.resolve();
    },
  };
  return { journal, live, state };
}

/** One run after another on the same firewall and the same record. */
function place({
  endsByItself = true,
  clock = virtualClock(),
}: { endsByItself?: boolean; clock?: VirtualClock } = {}) {
  const log: string[] = [];
  const kept = record(log);
  const inner = mock(endsByItself ? { clock } : {});
  const held: (readonly Grant[])[] = [];
  const driver: FirewallDriver = {
    ...{ name: 'kept', real: true, endsByItself },
    setup(services, context) {
      held.push(context.held ?? []);
      return inner.setup(services, context);
    },
    open(grant) {
      log.push(`opened ${grant.service}`);
      return inner.open(grant);
    },
    close(grant) {
      log.push(`closed ${grant.service}`);
      return inner.close(grant);
    },
    list: () => inner.list(),
    teardown: () => inner.teardown(),
  };
  let kill = (): void => undefined;
  /** A new run; the one before was killed. */
  const start = async (services: readonly Service[] = [SSH, WEB]) => {
    kill();
    let isAlive = true;
    kill = () => {
      isAlive = false;
    };
    const own: Clock = {
      now: () => clock.now(),
      after: (ms, run) =>
        clock.after(ms, () => {
          if (isAlive) run();
        }),
    };
    const closed: string[] = [];
    const failures: string[] = [];
    const manager = new GrantManager({
      ...{ driver, services, clock: own, journal: kept.journal },
      events: {
        closed: ({ service }, reason) => closed.push(`${service} ${reason}`),
        failed: (error) => failures.push(String(error)),
      },
    });
    await manager.start(IGNORES);
    const issue = (names: readonly string[] = ['ssh']): Promise<readonly Grant[]> =>
      manager.issue({ client: 'alice', source: HERE, services: names });
    return { manager, closed, failures, issue };
  };
  const recorded = (): string[] => [...kept.live.values()].map(({ service }) => service);
  const openings = (): string[] => inner.openings.map(({ service }) => service);
  return { clock, inner, held, log, start, recorded, openings, state: kept.state };
}

describe('recorded grants', () => {
  it('are recorded before the firewall opens them, and no longer when they have ended', async () => {
    const { clock, log, start, recorded } = place();
    const { issue, manager } = await start();
    await issue(['ssh', 'web']);
    assert.deepEqual(log, ['recorded ssh', 'recorded web', 'opened ssh', 'opened web']);
    assert.deepEqual(recorded(), ['ssh', 'web']);
    await clock.advance(5100);
    assert.deepEqual(recorded(), ['web']);
    await manager.revoke(manager.open[0]?.id ?? '');
    assert.deepEqual(recorded(), []);
  });

  it('are recorded while it is not yet known whether they may be opened, and no longer when they may not', async () => {
    const { log, start, recorded } = place();
    const { manager } = await start();
    let decide = (_isAllowed: boolean): void => undefined;
    const isAllowed = (): Promise<boolean> => new Promise((resolve) => (decide = resolve));
    const request = { client: 'alice', source: HERE, services: ['ssh', 'web'], isAllowed };
    const refused = manager.issue(request);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(log, ['recorded ssh', 'recorded web']);
    decide(false);
    assert.deepEqual(await refused, []);
    assert.deepEqual([recorded(), manager.open], [[], []]);
    const admitted = manager.issue(request);
    await new Promise((resolve) => setImmediate(resolve));
    decide(true);
    assert.equal((await admitted).length, 2);
    assert.deepEqual(log.slice(2), ['recorded ssh', 'recorded web', 'opened ssh', 'opened web']);
  });

  it('last their whole time from when they are opened, whatever was waited for', async () => {
    const { clock, start, openings } = place();
    const { manager } = await start();
    const isAllowed = async (): Promise<boolean> => {
      await clock.advance(4000);
      return true;
    };
    await manager.issue({ client: 'alice', source: HERE, services: ['ssh'], isAllowed });
    await clock.advance(4900);
    assert.deepEqual(openings(), ['ssh']);
    await clock.advance(200);
    assert.deepEqual(openings(), []);
  });

  it('are not opened when a stop came while it was waited', async () => {
    const { start, recorded, openings } = place();
    const { manager } = await start();
    let decide = (): void => undefined;
    const isAllowed = (): Promise<boolean> => new Promise((resolve) => (decide = () => resolve(true)));
    const issued = manager.issue({ client: 'alice', source: HERE, services: ['ssh'], isAllowed });
    await new Promise((resolve) => setImmediate(resolve));
    const stopped = manager.stop();
    decide();
    assert.deepEqual(await issued, []);
    await stopped;
    assert.deepEqual([recorded(), openings()], [[], []]);
  });

  it('are not opened when they cannot be recorded', async () => {
    const { inner, start, state, openings } = place();
    const { issue, manager } = await start();
    state.fails = true;
    await assert.rejects(issue(), /disk full/u);
    assert.deepEqual([openings(), manager.open], [[], []]);
    assert.equal(
      inner.calls.some(({ method }) => method === 'open'),
      false,
    );
  });

  it('are no longer recorded when the firewall refused them, all of them', async () => {
    const { inner, start, recorded } = place();
    const { issue } = await start();
    inner.failNext('open');
    await assert.rejects(issue(['ssh', 'web']));
    assert.deepEqual(recorded(), []);
  });

  it('are no longer recorded once they are closed, when the firewall refused them and could not close them', async () => {
    const { clock, inner, start, recorded } = place();
    const { issue, manager, failures } = await start();
    for (let i = 0; i < 5; i += 1) {
      inner.failNext('open');
      inner.failNext('close');
      await assert.rejects(issue());
    }
    assert.deepEqual([recorded(), manager.open.length, failures.length], [['ssh'], 1, 5]);
    await clock.advance(1000);
    assert.deepEqual([recorded(), manager.open, failures.length], [[], [], 5]);
  });

  it('are no longer recorded when one that is stuck takes their place, and are said to have ended', async () => {
    const { inner, start, recorded } = place();
    const { issue, closed } = await start();
    await issue();
    inner.failNext('open');
    inner.failNext('close');
    await assert.rejects(issue());
    assert.deepEqual([recorded(), closed], [['ssh'], ['ssh superseded']]);
  });

  it('are one when the same client knocks again', async () => {
    const { start, recorded } = place();
    const { issue } = await start();
    await issue();
    await issue();
    assert.deepEqual(recorded(), ['ssh']);
  });

  it('are held by the next run for what is left of their time', async () => {
    const { clock, held, start, recorded } = place();
    const first = await start();
    const [grant] = await first.issue();
    await clock.advance(2000);
    const { manager, closed } = await start();
    assert.deepEqual([held[0], held[1], manager.open], [[], [grant], [grant]]);
    await clock.advance(2900);
    assert.deepEqual(closed, []);
    await clock.advance(200);
    assert.deepEqual([closed, recorded()], [['ssh expired'], []]);
  });

  it('are found to be used by the next run', async () => {
    const { clock, inner, start } = place();
    await (await start()).issue();
    inner.spend('ssh', HERE);
    const { closed } = await start();
    await clock.advance(300);
    assert.deepEqual(closed, ['ssh used']);
  });

  it('of a time that is over, or a service that changed, are not taken over', async () => {
    const { clock, start, recorded } = place();
    await (await start()).issue(['ssh', 'web']);
    clock.set(clock.now() + 6000);
    const { manager, closed } = await start([SSH, { ...WEB, port: 8443 }]);
    assert.deepEqual([manager.open, recorded()], [[], []]);
    assert.deepEqual(closed.toSorted(), ['ssh expired', 'web expired']);
  });

  it("last no longer than their service's time, though the clock was set back", async () => {
    const { clock, start } = place();
    await (await start()).issue();
    clock.set(clock.now() - 3_600_000);
    const { manager, closed } = await start();
    assert.equal(manager.open[0]?.openUntil, clock.now() + 5000);
    await clock.advance(5100);
    assert.equal(closed.length, 1);
  });
});

describe('grants that nothing else ends', () => {
  const own = { endsByItself: false };

  it('are closed when their time is over, and tried again until it works', async () => {
    const { clock, inner, start, recorded, openings } = place(own);
    const { issue, closed, failures, manager } = await start();
    await issue();
    for (let i = 0; i < 3; i += 1) inner.failNext('close');
    await clock.advance(5000);
    assert.deepEqual([closed, failures.length, recorded(), openings()], [[], 1, ['ssh'], ['ssh']]);
    assert.equal(manager.open.length, 1);
    await clock.advance(20_000);
    assert.deepEqual([closed, failures.length], [[], 3]);
    await clock.advance(10_000);
    assert.deepEqual([closed, recorded(), openings()], [['ssh expired'], [], []]);
  });

  it('are closed at the next start when their time was over before it, and tried again', async () => {
    const { clock, inner, start, recorded, openings } = place(own);
    await (await start()).issue();
    const killed = await start();
    assert.equal(killed.manager.open.length, 1);
    clock.set(clock.now() + 6000);
    inner.failNext('close');
    const { closed } = await start();
    await clock.advance(10);
    assert.deepEqual([closed, recorded()], [[], ['ssh']]);
    await clock.advance(10_000);
    assert.deepEqual([closed, recorded(), openings()], [['ssh expired'], [], []]);
  });

  it('are closed by stop(), and kept in the record when that fails', async () => {
    const { inner, start, recorded, openings, state } = place(own);
    const { issue, closed, failures, manager } = await start();
    await issue(['ssh', 'web']);
    inner.failNext('close');
    await manager.stop();
    assert.deepEqual([closed, failures.length], [['web revoked'], 1]);
    assert.deepEqual([recorded(), openings(), state.isOpen], [['ssh'], ['ssh'], false]);
  });

  it('are closed by stop() though they were on their way in', async () => {
    const { start, openings } = place(own);
    const { issue, manager } = await start();
    const issued = issue();
    await Promise.resolve();
    await manager.stop();
    await issued;
    assert.deepEqual(openings(), []);
  });

  it('are closed later when opening failed and so did the closing after it', async () => {
    const { clock, inner, start, recorded } = place(own);
    const { issue, manager } = await start();
    inner.failNext('open');
    inner.failNext('close');
    await assert.rejects(issue());
    assert.deepEqual([recorded(), manager.open.length], [['ssh'], 1]);
    await clock.advance(10_000);
    assert.deepEqual([recorded(), manager.open.length], [[], 0]);
  });
});
