// Profiles: what they mean, and that each fault in one is refused without a word of the secret.

import assert from 'node:assert/strict';
import { isKnockError } from '../../lib/errors.ts';
import { formatProfile, parseProfile, type Profile } from '../../lib/knocker/profile.ts';
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

describe('a profile', () => {
  for (const profile of [PROFILE, SEQUENCE]) {
    it(`of scheme ${profile.scheme} is read as it was written`, () => {
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
      ports: [20000, 52767],
      step: 10,
      carrier: 'udp',
      services: { ssh: 22 },
    });
  });
});

describe('a profile is refused', () => {
  const good = JSON.parse(formatProfile(PROFILE)) as Record<string, unknown>;
  const plain = JSON.parse(formatProfile(SEQUENCE)) as Record<string, unknown>;
  const without = (key: string): object =>
    Object.fromEntries(Object.entries(good).filter(([name]) => name !== key));
  const rows: readonly [what: string, content: unknown, problem: string][] = [
    ['for another version', { ...good, portknock: 2 }, 'portknock must be 1, the version of the format'],
    ['for an unknown scheme', { ...good, scheme: 'spa' }, 'scheme must be one-time or sequence'],
    [
      'for a scheme named like a property of every object',
      { ...good, scheme: 'toString' },
      'scheme must be one-time or sequence',
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
