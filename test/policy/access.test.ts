// Who may open what from where.

import assert from 'node:assert/strict';
import { parseAddress, sameAddress, type Address } from '../../lib/address.ts';
import { Access, type AccessOptions } from '../../lib/policy/access.ts';

const OWN = addressOf('192.0.2.1');

function addressOf(text: string): Address {
  return parseAddress(text) ?? assert.fail(text);
}

function access(options: Partial<AccessOptions> = {}): Access {
  return new Access({
    clients: [
      { name: 'alice', services: ['ssh', 'admin'] },
      { name: 'bob', services: ['ssh'] },
      { name: 'nobody', services: [] },
    ],
    loopback: false,
    isOwn: (address) => sameAddress(address, OWN),
    ...options,
  });
}

/** The services, or why not. */
function decide(client: string, source: string, wanted: readonly string[] | null, rules = access()): string {
  const verdict = rules.authorize(client, addressOf(source), wanted);
  return verdict.granted ? verdict.services.join(' ') : verdict.reason;
}

describe('Access', () => {
  const rows: readonly [client: string, wanted: string | null, verdict: string][] = [
    ['alice', null, 'ssh admin'],
    ['alice', 'ssh', 'ssh'],
    ['alice', 'admin ssh', 'admin ssh'],
    ['alice', 'web', 'service-refused'],
    ['alice', 'ssh web', 'service-refused'],
    ['alice', 'SSH', 'service-refused'],
    ['bob', null, 'ssh'],
    ['bob', 'admin', 'service-refused'],
    ['nobody', null, 'service-refused'],
    ['nobody', 'ssh', 'service-refused'],
    ['mallory', null, 'client-unknown'],
    ['Alice', null, 'client-unknown'],
    ['__proto__', null, 'client-unknown'],
    ['constructor', 'ssh', 'client-unknown'],
  ];
  for (const [client, wanted, verdict] of rows) {
    it(`says ${verdict} to ${client} who wants ${wanted ?? 'all'}`, () => {
      assert.equal(decide(client, '198.51.100.7', wanted?.split(' ') ?? null), verdict);
    });
  }

  it('refuses a knock that names no service at all', () => {
    assert.equal(decide('alice', '198.51.100.7', []), 'service-refused');
  });

  it('refuses sources that cannot hold a grant, our own addresses among them', () => {
    const refused = [
      '0.0.0.0',
      '127.0.0.1',
      '::1',
      '224.0.0.1',
      '255.255.255.255',
      '::',
      'ff02::1',
      '192.0.2.1',
    ];
    for (const source of refused) assert.equal(decide('alice', source, null), 'source-refused', source);
    for (const source of ['192.0.2.2', '2001:db8::1'])
      assert.equal(decide('bob', source, null), 'ssh', source);
    const mapped: Address = { family: 6, words: addressOf('198.51.100.7').words };
    assert.deepEqual(access().authorize('bob', mapped, null), { granted: false, reason: 'source-refused' });
  });

  it('takes loopback sources where they can be real, and then nothing else that it refused', () => {
    const rules = access({ loopback: true, isOwn: () => true });
    assert.equal(decide('bob', '127.0.0.1', null, rules), 'ssh');
    assert.equal(decide('bob', '::1', null, rules), 'ssh');
    assert.equal(decide('bob', '0.0.0.0', null, rules), 'source-refused');
    assert.equal(decide('bob', '198.51.100.7', null, rules), 'source-refused');
  });

  it('does not tell a stranger which sources are refused', () => {
    assert.equal(decide('mallory', '127.0.0.1', null), 'client-unknown');
  });
});
