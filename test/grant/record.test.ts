// What a start takes for a grant out of its journal: what we write, and nothing that a driver could stumble over.

import assert from 'node:assert/strict';
import type { Grant } from '../../lib/firewall/driver.ts';
import { grantIn } from '../../lib/grant/record.ts';

const GOOD: Grant = {
  ...{ id: '0123456789abcdef', client: 'alice@laptop', source: '192.0.2.7', service: 'ssh', protocol: 'tcp' },
  ...{ port: 22, openUntil: 1_700_000_030_000, connections: 1 },
};

describe('a recorded grant', () => {
  const good: readonly Partial<Grant>[] = [
    {},
    { source: '2001:db8::7' },
    { source: '2001:db8::/56' },
    { source: '192.0.2.0/24' },
    { connections: 'unlimited', protocol: 'udp', port: 65_535 },
    // Of a service that programs of its own open.
    { port: 0 },
    { to: { host: '10.0.0.5', port: 22 } },
    { to: { host: 'fd00::5', port: 65_535 } },
  ];
  for (const [number, change] of good.entries()) {
    it(`${number + 1}. is taken as it was written: ${JSON.stringify(change)}`, () => {
      const grant = { ...GOOD, ...change };
      assert.deepEqual(grantIn(JSON.parse(JSON.stringify(grant))), grant);
    });
  }

  const bad: readonly Readonly<Record<string, unknown>>[] = [
    ...['', 'A', '../x', '-x', 1, undefined].map((id) => ({ id })),
    ...[undefined, 7].map((client) => ({ client })),
    ...[
      '',
      '--flush',
      '192.0.2.7 ',
      '192.0.2.07',
      '192.0.2.7/24',
      '192.0.2.7/32',
      'any',
      '::ffff:192.0.2.7',
    ].map((source) => ({ source })),
    ...['2001:DB8::7', '2001:db8:0::7', 'fe80::1%eth0', null].map((source) => ({ source })),
    ...['', '-F', 'SSH', 'a'.repeat(33), 'ssh\n', 5].map((service) => ({ service })),
    ...['icmp', '', null].map((protocol) => ({ protocol })),
    ...[-1, 1.5, 65_536, '22', null].map((port) => ({ port })),
    ...['soon', null].map((openUntil) => ({ openUntil })),
    ...[0, -1, 0.5, 'many', null].map((connections) => ({ connections })),
    ...[null, '10.0.0.5:22', {}, { host: '10.0.0.5' }, { host: '10.0.0.5', port: 0 }].map((to) => ({ to })),
    ...['--help', 'nas', '10.0.0.05', '127.0.0.1', 'FD00::5', 'fe80::5', '0.0.0.0', 'ff02::1'].map(
      (host) => ({
        to: { host, port: 22 },
      }),
    ),
  ];
  for (const [number, change] of bad.entries()) {
    it(`${number + 1}. is none with ${JSON.stringify(change)}`, () => {
      assert.equal(grantIn({ ...GOOD, ...change }), null);
    });
  }

  it('is no other kind of value', () => {
    for (const value of [null, undefined, 7, 'grant', [], {}]) assert.equal(grantIn(value), null);
  });
});
