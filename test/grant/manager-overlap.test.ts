// Grants that change at the same time: what may overlap in the firewall, what must not, and what a change is never
// mistaken for meanwhile.

import assert from 'node:assert/strict';
import type { FirewallDriver, Grant, Opening, Service } from '../../lib/firewall/driver.ts';
import { mock } from '../../lib/firewall/mock.ts';
import { GrantManager } from '../../lib/grant/manager.ts';
import { virtualClock } from '../../lib/testing/clock.ts';

const SSH: Service = { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 5000, connections: 1 };
const WEB: Service = { name: 'web', protocol: 'tcp', port: 443, openForMs: 9000, connections: 1 };
const IGNORES = { warning: (): void => undefined };

/** A driver whose calls take `ms`, and which fails a test when two overlap that must not. */
async function setUp(ms = 100, listMs = 0) {
  const clock = virtualClock();
  const inner = mock({ clock });
  await inner.setup([SSH, WEB], IGNORES);
  const busy = new Map<string, string>();
  const log: string[] = [];
  let most = 0;
  const slow = async <T>(what: string, key: string, run: () => Promise<T>): Promise<T> => {
    const inTheWay = key === '' ? [...busy.values()] : [busy.get(key), busy.get('')];
    assert.deepEqual(inTheWay.filter(Boolean), [], `${what} ${key} overtakes`);
    busy.set(key, what);
    most = Math.max(most, busy.size);
    await new Promise<void>((resolve) => clock.after(ms, resolve));
    const result = await run();
    log.push(`${what} ${key}`.trim());
    busy.delete(key);
    return result;
  };
  const keyOf = ({ service, source }: Opening): string => `${service} ${source}`;
  const driver: FirewallDriver = {
    name: 'slow',
    real: false,
    setup: (...args) => slow('setup', '', () => inner.setup(...args)),
    open: (grant) => slow('open', keyOf(grant), () => inner.open(grant)),
    close: (grant) => slow('close', keyOf(grant), () => inner.close(grant)),
    list: async () => {
      if (listMs > 0) await new Promise<void>((resolve) => clock.after(listMs, resolve));
      return inner.list();
    },
    teardown: () => inner.teardown(),
  };
  const closed: string[] = [];
  const failures: unknown[] = [];
  const manager = new GrantManager({
    ...{ driver, services: [SSH, WEB], clock },
    events: {
      closed: (grant, reason) => closed.push(`${keyOf(grant)} ${reason}`),
      failed: (error) => failures.push(error),
    },
  });
  const issue = (source: string, services = ['ssh']): Promise<readonly Grant[]> =>
    manager.issue({ client: 'alice', source, services });
  return { clock, driver, inner, manager, closed, failures, issue, log, most: () => most };
}

describe('grants that come at the same time', () => {
  it('are opened together when their sources or services differ', async () => {
    const { clock, issue, manager, most } = await setUp();
    const all = [issue('192.0.2.1'), issue('192.0.2.2'), issue('2001:db8::1'), issue('192.0.2.1', ['web'])];
    await clock.advance(100);
    await Promise.all(all);
    assert.deepEqual([most(), manager.open.length], [4, 4]);
  });

  it('are opened one after another when they are for the same, the last one staying', async () => {
    const { clock, closed, issue, manager, most } = await setUp();
    const all = Promise.all([1, 2, 3].map(() => issue('192.0.2.1')));
    await clock.advance(400);
    const last = (await all)[2]?.[0];
    assert.equal(most(), 1);
    assert.deepEqual(closed, ['ssh 192.0.2.1 superseded', 'ssh 192.0.2.1 superseded']);
    assert.deepEqual(
      manager.open.map(({ id }) => id),
      [last?.id],
    );
  });

  it('wait for those that they have one service in common with', async () => {
    const { clock, issue, log } = await setUp();
    const all = Promise.all([issue('192.0.2.1', ['ssh', 'web']), issue('192.0.2.1', ['web'])]);
    await clock.advance(300);
    await all;
    assert.deepEqual(log, ['open ssh 192.0.2.1', 'open web 192.0.2.1', 'open web 192.0.2.1']);
  });

  it('wait for a change of the services, which waits for those before it', async () => {
    const { clock, failures, issue, log, manager } = await setUp();
    const all = Promise.all([
      issue('192.0.2.1'),
      manager.update([SSH], IGNORES),
      issue('192.0.2.2'),
      assert.rejects(issue('192.0.2.3', ['web']), /service must be configured/u),
    ]);
    await clock.advance(400);
    await all;
    assert.deepEqual(log, ['open ssh 192.0.2.1', 'setup', 'open ssh 192.0.2.2']);
    assert.deepEqual(failures, []);
  });

  it('are all waited for by stop()', async () => {
    const { clock, issue, log, manager } = await setUp();
    void issue('192.0.2.1');
    void issue('192.0.2.2');
    let stopped = false;
    await clock.advance(50);
    void manager.stop().then(() => (stopped = true));
    await clock.advance(40);
    assert.equal(stopped, false);
    await clock.advance(20);
    assert.deepEqual([stopped, log.length], [true, 2]);
  });

  it('end together when their time is over, though the closing of each is slow', async () => {
    const { clock, closed, issue, most } = await setUp(1000);
    const sources = Array.from({ length: 50 }, (_, i) => `192.0.2.${i + 1}`);
    const all = Promise.all(sources.map((source) => issue(source)));
    await clock.advance(1000);
    await all;
    await clock.advance(5000 + 1000);
    assert.deepEqual(
      closed,
      sources.map((source) => `ssh ${source} expired`),
    );
    assert.equal(most(), 50);
  });

  it('are not taken for used while they are opened, replaced or closed', async () => {
    const { clock, closed, failures, issue, manager } = await setUp(600);
    const opening = issue('192.0.2.1');
    const other = issue('192.0.2.2');
    await clock.advance(600);
    const [grant] = await opening;
    await other;
    // The firewall is asked every 250 ms, so twice during each of these.
    const replacing = issue('192.0.2.2');
    const closing = manager.revoke(grant?.id ?? '');
    await clock.advance(1300);
    await Promise.all([replacing, closing]);
    assert.deepEqual(closed.toSorted(), ['ssh 192.0.2.1 revoked', 'ssh 192.0.2.2 superseded']);
    assert.deepEqual(failures, []);
  });

  it('are reported as used while others change', async () => {
    const { clock, closed, inner, issue } = await setUp(600);
    const used = issue('192.0.2.1');
    await clock.advance(600);
    await used;
    inner.spend('ssh', '192.0.2.1');
    void issue('192.0.2.9');
    await clock.advance(300);
    assert.deepEqual(closed, ['ssh 192.0.2.1 used']);
  });

  it('ask the firewall together which were used', async () => {
    const { clock, inner, issue } = await setUp(0, 10);
    const sources = Array.from({ length: 50 }, (_, i) => `192.0.2.${i + 1}`);
    const all = Promise.all(sources.map((source) => issue(source)));
    await clock.advance(10);
    await all;
    await clock.advance(4990 - 250);
    const before = inner.calls.filter(({ method }) => method === 'list').length;
    await clock.advance(250 + 200);
    const asked = inner.calls.filter(({ method }) => method === 'list').length - before;
    assert.ok(asked >= 2 && asked <= 5, `asked ${asked} times for 50 ends`);
  });
});
