// What the half with root opens, and what it refuses: one row for each way in which a grant may differ from one that a knock
// could have brought about.

import assert from 'node:assert/strict';
import type { Grant } from '../../lib/firewall/driver.ts';
import { LocalAddresses } from '../../lib/policy/local.ts';
import { GrantCheck } from '../../lib/privilege/grant-check.ts';
import { virtualClock } from '../../lib/testing/clock.ts';
import { grantAt, RULES } from './support.ts';

const clock = virtualClock();
const now = clock.now();
const local = new LocalAddresses(clock, () => ['192.0.2.1', 'fd00:1::1']);
const check = new GrantCheck(RULES, clock, local);

const ALLOWED: readonly [title: string, changes: Partial<Grant>][] = [
  ['as its service is', {}],
  ['made a moment ago', { openUntil: now + 30_900 }],
  ['that ends before its service would', { openUntil: now + 1 }],
  ['whose time is over, which opens nothing', { openUntil: now - 1 }],
  ['to a prefix that the client may have', { source: '192.0.2.0/24' }],
  ['to a prefix that begins with an address of the gateway', { source: '192.0.2.0/25' }],
  ['to a prefix of IPv6', { source: 'fd00:2::/56' }],
  ['that is forwarded as configured', { service: 'nas', port: 2222, to: { host: '10.0.0.5', port: 22 } }],
  [
    'without a count where there is none',
    { client: 'bob', service: 'admin', port: 8443, connections: 'unlimited' },
  ],
  ['from where the client may knock', { client: 'near', source: '192.0.2.200' }],
  ['to a prefix that it may have come from', { client: 'near', source: '192.0.2.0/24' }],
  ['to an address that the client may name from elsewhere', { client: 'fwk', source: '198.51.100.9' }],
];

const REFUSED: readonly [title: string, changes: Partial<Grant>, why: RegExp][] = [
  ['for a service that is not configured', { service: 'telnet' }, /no configured service/u],
  ['for another port', { port: 23 }, /as its service is configured/u],
  ['for another protocol', { protocol: 'udp' }, /as its service is configured/u],
  ['for more connections', { connections: 2 }, /as its service is configured/u],
  ['for unlimited connections', { connections: 'unlimited' }, /as its service is configured/u],
  ['that forwards what is not', { to: { host: '10.0.0.9', port: 22 } }, /as its service is configured/u],
  [
    'that forwards elsewhere',
    { service: 'nas', port: 2222, to: { host: '10.0.0.9', port: 22 } },
    /configured/u,
  ],
  ['that does not forward', { service: 'nas', port: 2222 }, /as its service is configured/u],
  ['for longer', { openUntil: now + 31_001 }, /longer than its service/u],
  ['without an end', { openUntil: Number.MAX_VALUE }, /longer than its service/u],
  [
    'of a family that does not get there',
    { service: 'nas6', port: 2223, to: { host: 'fd00::5', port: 22 } },
    /another family/u,
  ],
  ['for no source', { source: 'everyone' }, /no source/u],
  ['for everybody', { source: '0.0.0.0/0' }, /prefix-too-wide|source-refused/u],
  ['for half of everybody', { source: '128.0.0.0/1' }, /prefix-too-wide/u],
  ['for a wider prefix', { source: '192.0.2.0/23' }, /prefix-too-wide/u],
  ['for a wider prefix of IPv6', { source: 'fd00:2::/55' }, /prefix-too-wide/u],
  [
    'for a prefix where only addresses are allowed',
    { client: 'bob', ...admin(), source: '192.0.2.0/24' },
    /bind-refused/u,
  ],
  ['for the unspecified address', { source: '0.0.0.0' }, /source-refused/u],
  ['for loopback', { source: '127.0.0.1' }, /source-refused/u],
  ['for loopback of IPv6', { source: '::1' }, /source-refused/u],
  ['for multicast', { source: '224.0.0.1' }, /source-refused/u],
  ['for the broadcast address', { source: '255.255.255.255' }, /source-refused/u],
  ['for the gateway itself', { source: '192.0.2.1' }, /source-refused/u],
  ['of a client that is not there', { client: 'mallory' }, /client-unknown/u],
  ['of a client that has expired', { client: 'late' }, /client-expired/u],
  ['of a client without that service', { client: 'bob' }, /service-refused/u],
  ['from where the client may not knock', { client: 'near', source: '192.0.2.7' }, /may use/u],
  ['to a prefix that the client may not knock from', { client: 'near', source: '192.0.3.0/24' }, /may use/u],
  ['to an address that the client may not name', { client: 'fwk', source: '203.0.113.9' }, /may use/u],
];

function admin(): Partial<Grant> {
  return { service: 'admin', port: 8443, connections: 'unlimited' };
}

describe('the check of grants', () => {
  for (const [title, changes] of ALLOWED) {
    it(`lets one pass ${title}`, () => {
      assert.equal(check.fault(grantAt(now, changes)), null);
    });
  }

  for (const [title, changes, why] of REFUSED) {
    it(`refuses one ${title}`, () => {
      assert.match(check.fault(grantAt(now, changes)) ?? 'none', why);
    });
  }

  it('lets loopback pass where packets with that source are real', () => {
    const source = { loopback: true, checksDestination: false };
    const lax = new GrantCheck({ ...RULES, source }, clock, local);
    assert.equal(lax.fault(grantAt(now, { source: '127.0.0.1' })), null);
  });

  it('repeats nothing of what it was asked in its words', () => {
    const fault = check.fault(grantAt(now, { client: 'mallory', source: '198.51.100.99' })) ?? '';
    assert.doesNotMatch(fault, /mallory|198/u);
  });
});
