// What is said of services behind the gateway before a packet comes: which family gets there, and what the host lacks.

import assert from 'node:assert/strict';
import { parsePrefix } from '../../lib/address.ts';
import { isSameService, type Service } from '../../lib/firewall/driver.ts';
import { familyOf, forwardingWarnings, formatTarget, requireFamily } from '../../lib/firewall/forward.ts';

const NAS: Service = {
  ...{ name: 'nas', protocol: 'tcp', port: 2222, openForMs: 3000, connections: 1 },
  to: { host: '10.0.0.5', port: 22 },
};
const CAM: Service = { ...NAS, name: 'cam', port: 554, to: { host: 'fd00::5', port: 554 } };
const SSH: Service = { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 3000, connections: 1 };

describe('a service behind the gateway', () => {
  it('is got to by the family of its address, a local one by both', () => {
    assert.deepEqual([NAS, CAM, SSH].map(familyOf), [4, 6, null]);
    assert.deepEqual(
      [NAS.to, CAM.to].map((to) => to && formatTarget(to)),
      ['10.0.0.5:22', '[fd00::5]:554'],
    );
  });

  it('is refused to sources of the other family, with what to do', () => {
    const check = (service: Service, source: string): void => {
      const prefix = parsePrefix(source);
      assert.ok(prefix !== null);
      requireFamily('mock', service, prefix);
    };
    for (const source of ['192.0.2.7', '192.0.2.0/24']) check(NAS, source);
    for (const source of ['192.0.2.7', '2001:db8::/56']) check(SSH, source);
    for (const [service, source, message] of [
      [NAS, '2001:db8::7', 'mock: service nas is at 10.0.0.5:22, where IPv6 does not get (knock over IPv4)'],
      [
        CAM,
        '192.0.2.0/24',
        'mock: service cam is at [fd00::5]:554, where IPv4 does not get (knock over IPv6)',
      ],
    ] as const)
      assert.throws(() => check(service, source), { code: 'ERR_FIREWALL_UNSUPPORTED', message });
  });

  it('is another one when it moves', () => {
    const local: Service = { ...SSH, name: 'nas', port: 2222 };
    assert.ok(isSameService(NAS, { ...NAS, to: { host: '10.0.0.5', port: 22 } }));
    for (const to of [
      { host: '10.0.0.6', port: 22 },
      { host: '10.0.0.5', port: 23 },
    ])
      assert.ok(!isSameService(NAS, { ...NAS, to }));
    assert.ok(!isSameService(NAS, local) && !isSameService(local, NAS));
  });
});

describe('forwardingWarnings', () => {
  it('says what to type where the host forwards nothing, once for each family that is needed', () => {
    const lines = forwardingWarnings([SSH, CAM, NAS, { ...NAS, name: 'other', port: 1 }], () => false);
    assert.deepEqual(lines, [
      'net.ipv4.ip_forward is 0: nothing gets through to service nas at 10.0.0.5:22, also with a grant (sysctl -w net.ipv4.ip_forward=1, and put it into /etc/sysctl.d)',
      'net.ipv6.conf.all.forwarding is 0: nothing gets through to service cam at [fd00::5]:554, also with a grant (sysctl -w net.ipv6.conf.all.forwarding=1, and put it into /etc/sysctl.d; where addresses come by router advertisement, accept_ra=2 too)',
    ]);
    assert.deepEqual(
      forwardingWarnings([SSH], () => false),
      [],
    );
    assert.deepEqual(
      forwardingWarnings([NAS, CAM], () => true),
      [],
    );
  });
});
