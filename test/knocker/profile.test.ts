// Profiles: what they mean, and that each fault in one is refused without a word of the secret.

import assert from 'node:assert/strict';
import { isKnockError } from '../../lib/errors.ts';
import { formatProfile, parseProfile, type Profile, type SpaProfile } from '../../lib/knocker/profile.ts';
import { oraclePublicLine } from '../support/spa-oracle.ts';
import { PROFILE } from './support.ts';

const SEQUENCE: Profile = {
  host: '2001:db8::1',
  client: 'old',
  scheme: 'sequence',
  sequence: [
    { port: 7000, protocol: 'tcp' },
    { port: 9000, protocol: 'udp' },
  ],
  services: { ssh: 22, admin: 8443 },
};
const SECRET = Buffer.from(PROFILE.secret).toString('base64');
const ACCESS_KEY = Buffer.alloc(32, 0xa7);
const PUBLIC_KEY = oraclePublicLine(Buffer.alloc(32, 5));
const SIGNED: SpaProfile = {
  host: 'gw.example',
  client: 'alice',
  scheme: 'spa',
  gateway: 'gw.example',
  port: 62201,
  accessKey: ACCESS_KEY,
  key: PUBLIC_KEY,
  bind: 'observed',
  services: { ssh: 22 },
};
const SHARED: SpaProfile = { ...SIGNED, key: Buffer.alloc(32, 0xb3), bind: 'prefix', host: '2001:db8::1' };

describe('a profile', () => {
  for (const [number, profile] of [PROFILE, SEQUENCE, SIGNED, SHARED].entries()) {
    it(`${number + 1}. of scheme ${profile.scheme} is read as it was written`, () => {
      assert.deepEqual(parseProfile(formatProfile(profile)), profile);
    });
  }

  it('has the form that other programs read', () => {
    assert.deepEqual(JSON.parse(formatProfile(PROFILE)), {
      portknock: 1,
      host: '127.0.0.1',
      client: 'field',
      scheme: 'one-time',
      secret: SECRET,
      digest: 'sha256',
      knocks: 5,
      ports: [10000, 19999],
      step: 10,
      carrier: 'udp',
      services: { ssh: 22 },
    });
  });

  it('of scheme spa has that form too, with a key that is public or a secret', () => {
    const common = {
      ...{ portknock: 1, client: 'alice', scheme: 'spa', gateway: 'gw.example', port: 62201 },
      access_key: ACCESS_KEY.toString('base64'),
      services: { ssh: 22 },
    };
    assert.deepEqual(JSON.parse(formatProfile(SIGNED)), {
      ...common,
      ...{ host: 'gw.example', key: PUBLIC_KEY, bind: 'observed' },
    });
    assert.deepEqual(JSON.parse(formatProfile(SHARED)), {
      ...common,
      ...{ host: '2001:db8::1', secret: Buffer.alloc(32, 0xb3).toString('base64'), bind: 'prefix' },
    });
  });

  it('of scheme spa takes each bind, any gateway name and any comment behind its key', () => {
    const signed = JSON.parse(formatProfile(SIGNED)) as object;
    for (const bind of ['observed', 'exact', 'prefix']) {
      const profile = parseProfile(JSON.stringify({ ...signed, bind, gateway: '192.0.2.1', port: 1 }));
      assert.deepEqual(profile, { ...SIGNED, bind, gateway: '192.0.2.1', port: 1 });
    }
    const bare = PUBLIC_KEY.replace(/ \S+$/u, '');
    for (const key of [bare, `${bare} two words`, `${bare}\tx`]) {
      assert.deepEqual(parseProfile(JSON.stringify({ ...signed, key })), { ...SIGNED, key });
    }
  });
});

describe('an SPA profile is refused', () => {
  const signed = JSON.parse(formatProfile(SIGNED)) as Record<string, unknown>;
  const shared = JSON.parse(formatProfile(SHARED)) as Record<string, unknown>;
  const without = (from: object, key: string): object =>
    Object.fromEntries(Object.entries(from).filter(([name]) => name !== key));
  const bytes = (length: number): string => Buffer.alloc(length, 0xc5).toString('base64');
  const KEY = 'key must be a public key line, ssh-ed25519 AAAA...';
  const ONE = 'exactly one of key and secret must be there';
  const ACCESS = 'access_key must be base64 of 32 bytes';
  const rows: readonly [what: string, content: object, problem: string][] = [
    ['with a key and a secret', { ...signed, secret: shared['secret'] }, ONE],
    ['without either', without(signed, 'key'), ONE],
    ['with a key that is null and a secret', { ...shared, key: null }, ONE],
    ...['host', 'client', 'services', 'gateway', 'port', 'access_key', 'bind'].map(
      (key) => [`without ${key}`, without(signed, key), `${key} is missing`] as [string, object, string],
    ),
    ['for a key of another scheme', { ...signed, digest: 'sha256' }, "key is not known: 'digest'"],
    ['for a key in capitals', { ...without(signed, 'port'), Port: 1 }, "key is not known: 'Port'"],
    [
      'for __proto__',
      JSON.parse(JSON.stringify(signed).replace('{', '{"__proto__":1,')) as object,
      "key is not known: '__proto__'",
    ],
    ['for a private key', { ...signed, key: '-----BEGIN OPENSSH PRIVATE' }, KEY],
    ['for a key that is a number', { ...signed, key: 7 }, KEY],
    ['for an RSA key', { ...signed, key: PUBLIC_KEY.replace('ssh-ed25519 ', 'ssh-rsa ') }, KEY],
    ['for a key with options', { ...signed, key: `restrict ${PUBLIC_KEY}` }, KEY],
    ['for a key cut short', { ...signed, key: PUBLIC_KEY.slice(0, 60) }, KEY],
    ['for two keys', { ...signed, key: `${PUBLIC_KEY}\n${PUBLIC_KEY}` }, KEY],
    ['for a short access key', { ...signed, access_key: bytes(31) }, ACCESS],
    ['for a long access key', { ...signed, access_key: bytes(33) }, ACCESS],
    ['for an access key in hex', { ...signed, access_key: 'a7'.repeat(32) }, ACCESS],
    ['for an access key without padding', { ...signed, access_key: bytes(32).replace('=', '') }, ACCESS],
    ['for an access key that is no text', { ...signed, access_key: [1] }, ACCESS],
    ['for a short secret', { ...shared, secret: bytes(16) }, 'secret must be base64 of 32 bytes'],
    ['for a long secret', { ...shared, secret: bytes(64) }, 'secret must be base64 of 32 bytes'],
    ['for a bind that is none', { ...signed, bind: 'any' }, 'bind must be observed, exact or prefix'],
    ['for a bind in capitals', { ...signed, bind: 'Exact' }, 'bind must be observed, exact or prefix'],
    ['for port 0', { ...signed, port: 0 }, 'port must be a whole number from 1 to 65535'],
    ['for port 65536', { ...signed, port: 65_536 }, 'port must be a whole number from 1 to 65535'],
    ['for a port in a text', { ...signed, port: '62201' }, 'port must be a whole number from 1 to 65535'],
    ['for an empty gateway', { ...signed, gateway: '' }, 'gateway must be a host name or an address'],
    [
      'for a gateway with a space',
      { ...signed, gateway: 'gw example' },
      'gateway must be a host name or an address',
    ],
    [
      'for a gateway that is a list',
      { ...signed, gateway: ['gw'] },
      'gateway must be a host name or an address',
    ],
    ['for another version', { ...signed, portknock: '1' }, 'portknock must be 1, the version of the format'],
  ];
  for (const [what, content, problem] of rows) {
    it(`${what}, without a word of its secrets`, () => {
      const message = messageFor(JSON.stringify(content));
      assert.equal(message, `profile cannot be used: ${problem} (write it anew with portknock add-client)`);
      for (const secret of [bytes(16), bytes(32), ACCESS_KEY.toString('base64'), String(shared['secret'])])
        assert.equal(message.includes(secret.slice(0, 8)), false);
    });
  }
});

describe('a profile is refused', () => {
  const good = JSON.parse(formatProfile(PROFILE)) as Record<string, unknown>;
  const plain = JSON.parse(formatProfile(SEQUENCE)) as Record<string, unknown>;
  const without = (key: string): object =>
    Object.fromEntries(Object.entries(good).filter(([name]) => name !== key));
  const rows: readonly [what: string, content: unknown, problem: string][] = [
    ['for another version', { ...good, portknock: 2 }, 'portknock must be 1, the version of the format'],
    [
      'for an unknown scheme',
      { ...good, scheme: 'knockd' },
      'scheme must be spa, one-time, sequence or fwknop',
    ],
    [
      'for a scheme named like a property of every object',
      { ...good, scheme: 'toString' },
      'scheme must be spa, one-time, sequence or fwknop',
    ],
    ['for an unknown key', { ...good, 'por\u001bt': 1 }, "key is not known: 'por\\u{1b}t'"],
    ['for a key of the other scheme', { ...good, sequence: ['1/tcp'] }, "key is not known: 'sequence'"],
    ['without a key', without('digest'), 'digest is missing'],
    ['for an empty host', { ...good, host: '' }, 'host must be a host name or an address'],
    [
      'for a host that is an option',
      { ...good, host: '-oProxyCommand=x' },
      'host must be a host name or an address',
    ],
    [
      'for a client that is no name',
      { ...good, client: '../x' },
      'client must be a name of letters, digits, dot, dash, underscore and at sign, at most 64',
    ],
    ['without services', { ...good, services: {} }, 'services must name at least one port'],
    ['for a list of services', { ...good, services: [22] }, 'services must name at least one port'],
    ['for a bad service name', { ...good, services: { SSH: 22 } }, "service name is bad: 'SSH'"],
    [
      'for a port out of range',
      { ...good, services: { ssh: 65536 } },
      'port of service ssh must be a whole number from 1 to 65535',
    ],
    ['for a short secret', { ...good, secret: 'c2hvcnQ=' }, 'secret must be base64 of 16 to 64 bytes'],
    [
      'for a secret without padding',
      { ...good, secret: SECRET.replace('=', '') },
      'secret must be base64 of 16 to 64 bytes',
    ],
    ['for a digest that is none', { ...good, digest: 'sha1' }, 'digest must be sha256 or md5'],
    ['for a carrier that is none', { ...good, carrier: 'icmp' }, 'carrier must be udp or tcp'],
    ['for one knock', { ...good, knocks: 1 }, 'knocks must be a whole number from 2 to 16'],
    ['for half a knock', { ...good, knocks: 2.5 }, 'knocks must be a whole number from 2 to 16'],
    ['for ports that are no pair', { ...good, ports: [1] }, 'ports must be [low, high]'],
    [
      'for ports in the wrong order',
      { ...good, ports: [9, 8] },
      'ports[1] must be a whole number from 9 to 65535',
    ],
    ['for a step of nothing', { ...good, step: 0 }, 'step must be a whole number from 1 to 3600'],
    [
      'for a sequence that is text',
      { ...plain, sequence: '7000/tcp' },
      'sequence must be a list of 1 to 32 knocks, PORT/tcp or PORT/udp',
    ],
    [
      'for a knock that is none',
      { ...plain, sequence: ['7000/tcp', '0/udp'] },
      'sequence must be a list of 1 to 32 knocks, PORT/tcp or PORT/udp',
    ],
    ['for a list', [good], 'the text is not a JSON object'],
  ];
  for (const [what, content, problem] of rows) {
    it(what, () => {
      assert.equal(
        messageFor(JSON.stringify(content)),
        `profile cannot be used: ${problem} (write it anew with portknock add-client)`,
      );
    });
  }

  it('without a word of the secret, even when it is not JSON', () => {
    const message = messageFor(`{ "secret": "${SECRET}", ${SECRET} }`);
    assert.equal(
      message,
      'profile cannot be used: the text is not JSON (write it anew with portknock add-client)',
    );
    for (const [, content] of rows)
      assert.ok(!messageFor(JSON.stringify(content)).includes(SECRET.slice(0, 8)));
  });
});

function messageFor(text: string): string {
  try {
    parseProfile(text);
  } catch (error) {
    assert.ok(isKnockError(error) && error.code === 'ERR_PROFILE', String(error));
    assert.equal(error.cause, undefined);
    return error.message;
  }
  return 'accepted';
}
