// A caller's mistakes: each is found when the listener is made, and named.

import assert from 'node:assert/strict';
import { servicesOf } from '../../lib/listener/options.ts';
import { spoken } from '../support/spoken.ts';
import { rig, type RigOptions } from './support.ts';

describe("KnockListener's options", () => {
  const rows: readonly (readonly [what: string, options: RigOptions, type: string, message: RegExp])[] = [
    ...([0, -1, 65_536, 22.5, NaN, '22' as never] as const).map(
      (port) =>
        [
          `port ${String(port)}`,
          { services: { ssh: { port } } },
          'RangeError',
          /^services\.ssh\.port must be a whole number from 1 to 65535, got /u,
        ] as const,
    ),
    [
      'protocol icmp',
      { services: { ssh: { port: 22, protocol: 'icmp' as never } } },
      'TypeError',
      /^services\.ssh\.protocol must be tcp or udp, got 'icmp'$/u,
    ],
    [
      'a service open for no time',
      { services: { ssh: { port: 22, openForMs: 0 } } },
      'RangeError',
      /^services\.ssh\.openForMs must .* got 0$/u,
    ],
    [
      'a service open for a day',
      { services: { ssh: { port: 22, openForMs: 86_400_000 } } },
      'RangeError',
      /^services\.ssh\.openForMs must .* to 86399999, got/u,
    ],
    ['all services open for no time', { openForMs: 0 }, 'RangeError', /^openForMs must .* got 0$/u],
    [
      'all services open for ever',
      { openForMs: Infinity, services: {}, clients: [] },
      'RangeError',
      /^openForMs must .* got Infinity$/u,
    ],
    [
      'no connections',
      { services: { ssh: { port: 22, connections: 0 } } },
      'RangeError',
      /^services\.ssh\.connections must .* 1 to 1000, got 0$/u,
    ],
    ['too many connections', { connections: 1001 }, 'RangeError', /^connections must .* got 1001$/u],
    [
      'connections in a word',
      { connections: 'many' as never },
      'RangeError',
      /^connections must .* got many$/u,
    ],
    ...['', 'SSH', '-ssh', 'a b', 'a\n', 'é', 'x'.repeat(33), '__proto__x'].map(
      (name) =>
        [
          `service name ${JSON.stringify(name)}`,
          { services: { [name]: { port: 22 } }, clients: [{ name: 'alice', services: [name] }] },
          'TypeError',
          /^service name must match [\x20-\x7e]+, got '[\x20-\x7e]*'$/u,
        ] as const,
    ),
    ...[
      '10.0.0.5:22',
      null,
      { host: 'nas', port: 22 },
      { host: '127.0.0.1', port: 22 },
      { host: '10.0.0.5', port: 0 },
    ].map(
      (to) =>
        [
          `a service at ${JSON.stringify(to)}`,
          { services: { ssh: { port: 22, to: to as never } } },
          'TypeError',
          /^services\.ssh\.to must be \{ host, port \} with .*, got '?[\x20-\x7e]+$/u,
        ] as const,
    ),
    [
      'two services on one port',
      { services: { ssh: { port: 22 }, sftp: { port: 22 } } },
      'TypeError',
      /^services\.sftp\.port must not be that of service ssh, got 22\/tcp$/u,
    ],
    [
      'two clients of one name',
      {
        clients: [
          { name: 'alice', services: [] },
          { name: 'alice', services: [] },
        ],
      },
      'TypeError',
      /^clients must have different names, got 'alice' twice$/u,
    ],
    [
      'a service that is not there',
      { clients: [{ name: 'alice', services: ['ssh', 'te\nlnet'] }] },
      'TypeError',
      /^services of client alice must be configured, got 'te\\u\{a\}lnet'$/u,
    ],
    [
      'a service of the prototype',
      { clients: [{ name: 'alice', services: ['toString'] }] },
      'TypeError',
      /got 'toString'$/u,
    ],
    [
      'a client of a scheme that is not listed',
      { schemes: [spoken({ clients: ['alice', 'bo\x1bb'] })] },
      'TypeError',
      /^client 'bo\\u\{1b\}b' of scheme spoken must be listed in clients$/u,
    ],
  ];
  for (const [what, options, name, message] of rows) {
    it(`refuse ${what}`, () => {
      assert.throws(() => rig(options), { name, message });
    });
  }

  it('take the same port for tcp and udp, and clients that no scheme knows', () => {
    rig({
      services: { dns: { port: 53 }, dns2: { port: 53, protocol: 'udp' } },
      clients: [
        { name: 'alice', services: ['dns', 'dns2'] },
        { name: 'idle', services: [] },
      ],
    });
  });

  it('fill in what is not said, first from the listener, then from the defaults', () => {
    const services = {
      a: { port: 1 },
      b: { port: 65_535, protocol: 'udp', openForMs: 86_399_999, connections: 1000 },
    } as const;
    const b = { name: 'b', protocol: 'udp', port: 65_535, openForMs: 86_399_999, connections: 1000 };
    assert.deepEqual(servicesOf({ services }), [
      { name: 'a', protocol: 'tcp', port: 1, openForMs: 30_000, connections: 1 },
      b,
    ]);
    assert.deepEqual(servicesOf({ services, openForMs: 1, connections: 'unlimited' }), [
      { name: 'a', protocol: 'tcp', port: 1, openForMs: 1, connections: 'unlimited' },
      b,
    ]);
  });
});
