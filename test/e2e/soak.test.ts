// The soak, short: that it runs, that nothing is off, and that it would say so. `npm run soak` is the long one.

import assert from 'node:assert/strict';
import { faultsOf, GROWTH_BYTES, Ledger, tableOf } from '../slow/soak-ledger.ts';
import { soak } from '../slow/soak-run.ts';
import { describeInNamespaces } from './support.ts';

const SECONDS = 12;
/** A tenth of the long one's: this machine has other things to do. */
const JUNK_PER_SECOND = 2000;

describeInNamespaces('a soak', function () {
  this.timeout(400_000);

  for (const driver of ['iptables', 'nftables'] as const) {
    it(`lets every true knock in once, and nothing else ever (${driver})`, async () => {
      const seed = Date.now() % 100_000;
      const ledger = await soak({ driver, seconds: SECONDS, seed, junkPerSecond: JUNK_PER_SECOND });
      console.log(tableOf(ledger).replace(/^/gmu, '      '));
      assert.deepEqual(faultsOf(ledger), [], `seed ${seed}: ${ledger.notes.join('; ')}`);
    });
  }
});

describe("a soak's verdict", () => {
  function good(): Ledger {
    const ledger = new Ledger();
    for (const knocks of [ledger.ready, ledger.apart]) Object.assign(knocks, { sent: 9, admitted: 9 });
    const { again, late, replays, strangers, sessions, grants } = ledger;
    for (const forbidden of [again, late, replays, strangers, sessions, grants]) forbidden.tried = 9;
    Object.assign(ledger.happened, { stopped: 1, killed: 1, deafened: 1, reloaded: 1, misconfigured: 1 });
    Object.assign(ledger, { junk: 9 });
    Object.assign(ledger.memory, { first: 1e8, last: 1e8 + GROWTH_BYTES });
    return ledger;
  }

  const off: Readonly<Record<string, (ledger: Ledger) => void>> = {
    'a true knock that was not let in': ({ ready }) => (ready.admitted -= 1),
    'more openings than knocks': ({ apart }) => (apart.admitted += 1),
    'a second connection': ({ again }) => (again.succeeded = 1),
    'a connection after the time': ({ late }) => (late.succeeded = 1),
    'a replay that opened': ({ replays }) => (replays.succeeded = 1),
    'a stranger who was let in': ({ strangers }) => (strangers.succeeded = 1),
    'a session that was cut': ({ sessions }) => (sessions.succeeded = 1),
    'a grant for somebody else': ({ grants }) => (grants.succeeded = 1),
    'a client with more grants than knocks': ({ excess }) => excess.push('alice'),
    'memory that grows': ({ memory }) => (memory.last += 1),
    'memory that was not measured': ({ memory }) => (memory.last = 0),
    'no junk': (ledger) => (ledger.junk = 0),
    'no knock': ({ ready }) => Object.assign(ready, { sent: 0, admitted: 0 }),
    'no kill -9': ({ happened }) => (happened.killed = 0),
    'no replay': ({ replays }) => (replays.tried = 0),
  };

  it('is good when nothing is off', () => {
    assert.deepEqual(faultsOf(good()), []);
  });

  for (const [name, spoil] of Object.entries(off)) {
    it(`names ${name}`, () => {
      const ledger = good();
      spoil(ledger);
      assert.equal(faultsOf(ledger).length, 1);
    });
  }
});
