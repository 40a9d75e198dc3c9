// Another program holds the lock of the iptables: a start waits for it and says so, a knock that needs new rules is refused
// in time and not opened later, other knocks go on. (Weakened: START_LOCK_SECONDS at 2,
// GRANT_LOCK_SECONDS at 25, LATE_MS at 250,000 in lib/firewall/iptables.ts, the warning left out: went red.)

import assert from 'node:assert/strict';
import { Site, type Gateway } from '../../support/gateway.ts';
import { isLate } from '../granted.ts';
import { describeInNamespaces } from '../support.ts';
import { Bench, configOf, holdLock, startAmong, until } from './bench.ts';

const HELD_SECONDS = 5;
/** From when the process of that number starts a program of iptables-legacy. */
const HOLD = `'until grep -qsx iptables-legacy $(sed "s:[0-9][0-9]*:/proc/&/comm:g" /proc/$1/task/$1/children); do sleep 0.02; done; sleep ${HELD_SECONDS}'`;
const PREFIX = { 4: '10.77.0.0/29', 6: 'fd77::/64' } as const;

describeInNamespaces('the lock of the iptables, held by another program', function () {
  this.timeout(90_000);
  let bench: Bench;
  let site: Site;
  let gateway: Gateway;

  before(async () => {
    bench = await Bench.create();
  });

  beforeEach(async () => {
    site = await Site.create(bench.world, configOf('firewall: iptables\nfirewall_backend: legacy', '6s'));
  });

  afterEach(async () => {
    await gateway.end('SIGKILL');
    await site.remove();
  });

  after(() => bench.destroy());

  it(`for ${HELD_SECONDS} s delays a start, which says what it waits for, and then closes the ports`, async () => {
    const isHeld = 'until ! flock -n /run/xtables.lock true; do sleep 0.02; done';
    const script = `mount -t tmpfs none /run; flock /run/xtables.lock sh -c ${HOLD} sh $$ & ${isHeld}`;
    const began = performance.now();
    gateway = await startAmong(bench.world, site, script);
    assert.ok(performance.now() - began > HELD_SECONDS * 900, 'it cannot have set up before');
    const said = gateway.of('warning').map(({ message }) => String(message));
    assert.match(said.join('\n'), /^iptables-legacy-restore waits for another program that holds the lock/mu);
    for (const family of [4, 6] as const) {
      assert.equal(await bench.connect({ family }), 'refused');
      assert.equal(await bench.outcome(gateway, { family }), 'granted');
      assert.equal(await bench.connect({ family }), 'talks');
      assert.equal(await bench.connect({ family }), 'refused');
    }
  });

  it('refuses the knock that needs new rules, opens it not later, and hinders no other', async () => {
    gateway = await startAmong(bench.world, site, 'mount -t tmpfs none /run');
    for (const family of [4, 6] as const) {
      const release = await holdLock(gateway.pid);
      try {
        const from = gateway.events.length;
        await bench.knock({ family, claim: PREFIX[family] });
        const web = { family, client: 'bob', services: ['web'] } as const;
        assert.equal(await bench.outcome(gateway, web), 'granted');
        assert.equal(await bench.connect({ family, port: 443 }), 'talks');
        assert.equal((await until(gateway, ({ event }) => event === 'reject', from)).reason, 'grant-failed');
        const { message } = await until(gateway, ({ event }) => event === 'error', from);
        assert.match(String(message), /^ip6?tables-legacy-restore failed: .* for more than 1 s \(try again/u);
        const grants = gateway.events.slice(from).filter(({ event }) => event === 'grant');
        assert.deepEqual([...new Set(grants.map(({ service }) => service))], ['web']);
      } finally {
        await release();
      }
      assert.equal(await bench.connect({ family }), 'refused', 'not opened when the lock is free');
      assert.equal(await bench.connect({ family, source: bench.world.stranger[family] }), 'refused');
      assert.equal(await bench.outcome(gateway, { family, claim: PREFIX[family] }), 'granted');
      assert.equal(await bench.connect({ family, source: bench.world.stranger[family] }), 'talks');
      assert.equal(await bench.connect({ family }), 'refused');
    }
  });

  it('refuses a knock that had to wait so long for others that it would end late', async () => {
    gateway = await startAmong(bench.world, site, 'mount -t tmpfs none /run');
    const release = await holdLock(gateway.pid);
    const packets = [];
    for (const length of [24, 25, 26, 27, 28])
      packets.push(await bench.seal({ claim: `10.77.0.0/${length}` }));
    packets.push(await bench.seal({ services: ['web'] }));
    try {
      await bench.outside.datagrams({ packets });
      await until(gateway, isLate);
    } finally {
      await release();
    }
    assert.equal(await bench.connect({ port: 443 }), 'refused');
    assert.deepEqual(gateway.of('grant'), []);
    // What is held back of the refusals may still come.
    assert.equal(await bench.outcome(gateway, { client: 'bob' }), 'granted');
    assert.equal(await bench.connect(), 'talks');
  });
});
