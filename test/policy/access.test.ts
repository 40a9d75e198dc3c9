// Who may open what from where.

import assert from 'node:assert/strict';
import { parseAddress, parsePrefix, sameAddress, type Address } from '../../lib/address.ts';
import { Access, type AccessOptions, type ClientAccess } from '../../lib/policy/access.ts';

const NOW = 1_767_225_600_000;
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
  const request = { client, services: wanted };
  const verdict = rules.authorize({ request, source: addressOf(source), timeMs: NOW });
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
    const request = { client: 'bob', services: null };
    const verdict = access().authorize({ request, source: mapped, timeMs: NOW });
    assert.deepEqual(verdict, { granted: false, reason: 'source-refused' });
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

describe('Access, for a client that is bound', () => {
  const [V4, V6] = ['198.51.100.7', '2001:db8:1:2::7'];

  /** Whom it opens for, or why not. */
  function bound(client: Partial<ClientAccess>, source: string, claim?: string): string {
    const rules = access({ clients: [{ name: 'alice', services: ['ssh'], ...client }] });
    const request = {
      client: 'alice',
      services: ['ssh'],
      ...(claim === undefined ? {} : { claim: parsePrefix(claim) ?? assert.fail(claim) }),
    };
    const verdict = rules.authorize({ request, source: addressOf(source), timeMs: NOW });
    return verdict.granted ? verdict.source : verdict.reason;
  }

  // What the knock says, where it comes from; and what comes of it for a client bound to nothing, a prefix, its address.
  const MISMATCH = 'source-mismatch';
  const WIDE = 'prefix-too-wide';
  const REFUSED = 'bind-refused';
  const rows: readonly [
    number: number,
    claim: string | undefined,
    source: string,
    observed: string,
    prefix: string,
    exact: string,
  ][] = [
    [1, undefined, V4, V4, REFUSED, REFUSED],
    [2, V4, V4, V4, V4, V4],
    [3, '198.51.100.8', V4, MISMATCH, MISMATCH, MISMATCH],
    [4, '198.51.100.7/32', V4, V4, V4, V4],
    [5, '198.51.100.6/31', V4, '198.51.100.6/31', '198.51.100.6/31', REFUSED],
    [6, '198.51.100.99/24', V4, '198.51.100.0/24', '198.51.100.0/24', REFUSED],
    [7, '198.51.101.0/24', V4, MISMATCH, MISMATCH, REFUSED],
    [8, '198.51.100.0/23', V4, WIDE, WIDE, REFUSED],
    [9, '203.0.0.0/8', V4, WIDE, WIDE, REFUSED],
    [10, '0.0.0.0/0', V4, WIDE, WIDE, REFUSED],
    [11, undefined, V6, V6, REFUSED, REFUSED],
    [12, V6, V6, V6, V6, V6],
    [13, '2001:db8:1:2::8', V6, MISMATCH, MISMATCH, MISMATCH],
    [14, '2001:db8:1:2::/64', V6, '2001:db8:1:2::/64', '2001:db8:1:2::/64', REFUSED],
    [15, '2001:db8:1:2ff::/56', V6, MISMATCH, MISMATCH, REFUSED],
    [16, '2001:db8:1:ff::/56', V6, '2001:db8:1::/56', '2001:db8:1::/56', REFUSED],
    [17, '2001:db8:1::/55', V6, WIDE, WIDE, REFUSED],
    [18, '::/0', V6, WIDE, WIDE, REFUSED],
    [19, V6, V4, MISMATCH, MISMATCH, MISMATCH],
    [20, '198.51.100.0/24', V6, MISMATCH, MISMATCH, REFUSED],
    [21, '2001:db8:1:2::/32', V4, WIDE, WIDE, REFUSED],
  ];
  for (const [number, claim, source, ...wanted] of rows) {
    it(`${number}. ${claim ?? 'nothing'} from ${source}: ${wanted.join(', ')}`, () => {
      const binds = ['observed', 'prefix', 'exact'] as const;
      assert.deepEqual(
        binds.map((bind) => bound({ bind }, source, claim)),
        wanted,
      );
      assert.equal(bound({}, source, claim), wanted[0], 'observed unless said');
    });
  }

  it('has no wider prefix than the policy says, for each family', () => {
    const widestPrefix = [16, 48] as const;
    const claims = ['198.51.0.0/16', '198.50.0.0/15', '2001:db8:1::/48', '2001:db8::/47'];
    const sources = [V4, V4, V6, V6];
    const verdicts = claims.map((claim, i) => bound({ widestPrefix }, sources[i] ?? '', claim));
    assert.deepEqual(verdicts, [claims[0], WIDE, claims[2], WIDE]);
    assert.equal(bound({ widestPrefix: [32, 128] }, V4, '198.51.100.6/31'), WIDE);
    assert.equal(bound({ widestPrefix: [32, 128] }, V4, V4), V4);
  });

  it('says that it is source-refused before it looks at what is claimed', () => {
    assert.equal(bound({ bind: 'exact' }, '127.0.0.1', '127.0.0.1'), 'source-refused');
    assert.equal(bound({}, '192.0.2.1', '192.0.2.0/24'), 'source-refused');
    assert.equal(bound({ bind: 'exact' }, '0.0.0.0'), 'source-refused');
  });
});

describe('Access, for a client that expires', () => {
  const at = (
    timeMs: number,
    request = { client: 'alice', services: null as readonly string[] | null },
  ): string => {
    const clients = [{ name: 'alice', services: ['ssh'], expiresAt: NOW }];
    const verdict = access({ clients }).authorize({ request, source: addressOf('198.51.100.7'), timeMs });
    return verdict.granted ? 'granted' : verdict.reason;
  };

  it('grants until then, and from then on says so', () => {
    assert.deepEqual(
      [NOW - 1, NOW, NOW + 1].map((timeMs) => at(timeMs)),
      ['granted', 'client-expired', 'client-expired'],
    );
  });

  it('says that before anything else that is wrong', () => {
    assert.equal(at(NOW, { client: 'alice', services: ['telnet'] }), 'client-expired');
    assert.equal(at(NOW - 1, { client: 'alice', services: ['telnet'] }), 'service-refused');
  });
});

describe('Access, for a client that may not knock from anywhere', () => {
  const from = (prefixes: readonly string[], source: string, claim?: string): string => {
    const clients = [{ name: 'alice', services: ['ssh'], from: prefixes }];
    const claimed = claim === undefined ? null : (parsePrefix(claim) ?? assert.fail(claim));
    const named = claimed === null ? {} : ({ claim: claimed, elsewhere: true } as const);
    const request = { client: 'alice', services: null, ...named };
    const verdict = access({ clients }).authorize({ request, source: addressOf(source), timeMs: NOW });
    return verdict.granted ? verdict.source : verdict.reason;
  };

  const rows: readonly [prefixes: readonly string[], source: string, granted: boolean][] = [
    [['198.51.100.7'], '198.51.100.7', true],
    [['198.51.100.7'], '198.51.100.8', false],
    [['203.0.113.0/24', '198.51.100.0/25'], '198.51.100.127', true],
    [['203.0.113.0/24', '198.51.100.0/25'], '198.51.100.128', false],
    [['0.0.0.0/0'], '198.51.100.7', true],
    [['0.0.0.0/0'], '2001:db8:1::7', false],
    [['2001:db8:1::/48'], '2001:db8:1:ffff::7', true],
    [['2001:db8:1::/48'], '2001:db8:2::7', false],
    [[], '198.51.100.7', false],
  ];
  for (const [prefixes, source, granted] of rows) {
    it(`from [${prefixes.join(', ')}] ${granted ? 'grants' : 'refuses'} ${source}`, () => {
      assert.equal(from(prefixes, source), granted ? source : 'source-refused');
    });
  }

  it('looks at where the knock comes from, not at whom it asks for', () => {
    assert.equal(from(['198.51.100.7'], '203.0.113.9', '198.51.100.7'), 'source-refused');
    assert.equal(from(['203.0.113.9'], '203.0.113.9', '198.51.100.7'), '198.51.100.7');
  });

  it('refuses what is no address', () => {
    assert.throws(() => from(['gw.example'], '198.51.100.7'), {
      name: 'TypeError',
      message: "from of client alice must hold addresses or prefixes, got 'gw.example'",
    });
  });
});

describe('Access.allows', () => {
  it('knows which client may open which service', () => {
    const rules = access();
    const rows: readonly [client: string, service: string, allowed: boolean][] = [
      ['alice', 'admin', true],
      ['bob', 'ssh', true],
      ['bob', 'admin', false],
      ['nobody', 'ssh', false],
      ['mallory', 'ssh', false],
      ['__proto__', 'ssh', false],
      ['alice', 'toString', false],
    ];
    for (const [client, service, allowed] of rows) assert.equal(rules.allows(client, service), allowed);
  });
});

describe('Access for an address that the knock names though it comes from elsewhere', () => {
  const rows: readonly [claim: string, verdict: string][] = [
    ['203.0.113.9', 'opens for 203.0.113.9'],
    ['192.0.2.1', 'source-refused'],
    ['127.0.0.1', 'source-refused'],
    ['0.0.0.0', 'source-refused'],
    ['255.255.255.255', 'source-refused'],
  ];
  for (const [claim, verdict] of rows) {
    it(`${claim}: ${verdict}`, () => {
      const request = {
        ...({ client: 'bob', services: ['ssh'], elsewhere: true } as const),
        claim: parsePrefix(claim) ?? assert.fail(),
      };
      const found = access().authorize({ request, source: addressOf('198.51.100.7'), timeMs: NOW });
      assert.equal(found.granted ? `opens for ${found.source}` : found.reason, verdict);
    });
  }

  it('asks no less of the packet itself', () => {
    const claim = parsePrefix('203.0.113.9') ?? assert.fail();
    const request = { client: 'bob', services: ['ssh'], elsewhere: true, claim } as const;
    const found = access().authorize({ request, source: OWN, timeMs: NOW });
    assert.deepEqual(found, { granted: false, reason: 'source-refused' });
  });
});
