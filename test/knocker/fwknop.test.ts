// Knocking at fwknopd: what a profile says, what is sent, and the stanzas of fwknop's own client that become profiles.

import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { isKnockError } from '../../lib/errors.ts';
import { profileOfFwknoprc } from '../../lib/knocker/fwknoprc.ts';
import { Knocker } from '../../lib/knocker/knocker.ts';
import { formatProfile, parseProfile, type FwknopProfile } from '../../lib/knocker/profile.ts';
import type { KnockerOptions } from '../../lib/knocker/sender.ts';
import { arrive, gatewayOf, said } from '../support/fwknop-knocks.ts';

const KEY = Buffer.alloc(32, 'key');
const HMAC_KEY = Buffer.alloc(64, 'hmac');
const PROFILE: FwknopProfile = {
  ...{ host: '127.0.0.1', client: 'alice', scheme: 'fwknop', services: { ssh: 22, web: 443 } },
  ...{ port: 62_201, user: 'alice', key: KEY, hmacKey: HMAC_KEY, encryptionMode: 'cbc' },
  ...{ hmacDigest: 'sha256', digest: 'sha256', source: 'observed', timeoutSeconds: null },
};
const GATEWAY = gatewayOf({
  services: { ssh: { port: 22 }, web: { port: 443 } },
  clients: { phone: { key: KEY, hmacKey: HMAC_KEY } },
});

/** The datagram of one knock. */
async function sent(
  change: Partial<FwknopProfile> = {},
  { service, ...options }: KnockerOptions & { service?: string } = {},
): Promise<Buffer> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  try {
    const arrived = once(socket, 'message') as Promise<[Buffer]>;
    const knocker = new Knocker({ ...PROFILE, port: socket.address().port, ...change }, options);
    assert.deepEqual(await knocker.knock(service), { sentTo: '127.0.0.1', packets: 1 });
    const [bytes] = await arrived;
    return bytes;
  } finally {
    socket.close();
  }
}

function verdict(packet: Buffer, src = '127.0.0.1'): string {
  return said(arrive(GATEWAY, packet, { at: Date.now(), src }));
}

describe('a Knocker with a profile of fwknop', () => {
  it('sends one packet for all services, or for the one that is named', async () => {
    assert.equal(verdict(await sent()), 'request ssh web');
    assert.equal(verdict(await sent({}, { service: 'web' })), 'request web');
  });

  it('sends another packet each time', async () => {
    assert.notDeepEqual(await sent(), await sent());
  });

  it('names nobody, its own address, or the one it is told', async () => {
    assert.equal(verdict(await sent(), '203.0.113.9'), 'request ssh web');
    assert.equal(verdict(await sent({ source: 'exact' })), 'request ssh web');
    assert.equal(verdict(await sent({ source: 'exact' }), '203.0.113.9'), 'source-mismatch phone 127.0.0.1');
    assert.equal(verdict(await sent({ source: '203.0.113.9' }), '203.0.113.9'), 'request ssh web');
    assert.equal(verdict(await sent({}, { source: '203.0.113.9' }), '203.0.113.9'), 'request ssh web');
  });

  it('refuses sources that fwknop cannot name, and closing', async () => {
    for (const source of ['2001:db8::1', '198.51.100.0/24']) {
      assert.throws(() => new Knocker(PROFILE, { source }), {
        message: `source must be an IPv4 address in a knock of fwknop, got '${source}'`,
      });
    }
    await assert.rejects(new Knocker(PROFILE).knock('ssh', { close: true }), RangeError);
  });

  it('says so when a knock would be too long for fwknopd', async () => {
    const services = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`s${i}`, 60_000 + i]));
    const profile: FwknopProfile = { ...PROFILE, services, user: 'u'.repeat(48), digest: 'sha512' };
    await assert.rejects(new Knocker(profile).knock(), (error: unknown) => {
      assert.ok(isKnockError(error) && error.code === 'ERR_PROFILE');
      assert.match(error.message, /140 to 399 characters, got \d+ \(name one service/u);
      return true;
    });
  });
});

describe('a profile of fwknop', () => {
  it('is read as it was written', () => {
    const others: FwknopProfile = {
      ...PROFILE,
      ...{
        hmacKey: null,
        encryptionMode: 'legacy',
        digest: 'sha3_512',
        source: '192.0.2.1',
        timeoutSeconds: 60,
      },
    };
    for (const profile of [PROFILE, others]) assert.deepEqual(parseProfile(formatProfile(profile)), profile);
  });

  const good = JSON.parse(formatProfile(PROFILE)) as Record<string, unknown>;
  const rows: readonly [what: string, change: object, problem: string][] = [
    ['a user that fwknop refuses', { user: 'a:b' }, 'user must be 1 to 48 letters'],
    ['a user of 49 letters', { user: 'u'.repeat(49) }, 'user must be 1 to 48 letters'],
    [
      'a key of 33 bytes',
      { key: Buffer.alloc(33).toString('base64') },
      'key must be base64 of 1 to 32 bytes',
    ],
    ['an HMAC key that is missing', { hmac_key: '' }, 'hmac_key must be base64 of 1 to 128 bytes'],
    ['a mode that is none', { encryption_mode: 'pcbc' }, 'encryption_mode must be cbc, ecb'],
    ['a digest that is none', { digest: 'SHA256' }, 'digest must be md5, sha1'],
    ['an HMAC digest that is none', { hmac_digest: null }, 'hmac_digest must be md5, sha1'],
    ['a source that is none', { source: '::1' }, 'source must be observed, exact or an IPv4 address'],
    ['a time-out of 0', { timeout: 0 }, 'timeout must be a whole number from 1 to 65536'],
    ['a stranger', { bind: 'exact' }, "key is not known: 'bind'"],
  ];
  for (const [what, change, problem] of rows) {
    it(`is refused for ${what}`, () => {
      assert.throws(
        () => parseProfile(JSON.stringify({ ...good, ...change })),
        (error: unknown) =>
          isKnockError(error) && error.message.startsWith(`profile cannot be used: ${problem}`),
      );
    });
  }
});

describe('profileOfFwknoprc', () => {
  const RC = `# made by fwknop
[default]
DIGEST_TYPE     SHA512
FW_TIMEOUT      30
VERBOSE 1

[gw.example]
ACCESS          tcp/22,udp/53,tcp/8443
SPA_SERVER      192.0.2.10
SPA_SERVER_PORT 5000
ALLOW_IP        198.51.100.7   # ours
KEY_BASE64      ${KEY.toString('base64')}
HMAC_KEY_BASE64 ${HMAC_KEY.toString('base64')};
USE_HMAC        Y
HMAC_DIGEST_TYPE sha3_256
ENCRYPTION_MODE CFB
NAT_ACCESS      10.0.0.5:22
SPOOF_USER      bob

[bare]
ACCESS tcp/443
KEY secret#not part of it
ALLOW_IP resolve
`;

  it('carries a stanza over, after the default one, and says what it could not', () => {
    const { profile, notes } = profileOfFwknoprc(RC, { stanza: 'gw.example', user: 'alice' });
    assert.deepEqual(profile, {
      ...{ host: '192.0.2.10', client: 'bob', scheme: 'fwknop', services: { ssh: 22, 'tcp-8443': 8443 } },
      ...{ port: 5000, user: 'bob', key: KEY, hmacKey: HMAC_KEY, encryptionMode: 'cfb' },
      ...{ hmacDigest: 'sha3_256', digest: 'sha512', source: '198.51.100.7', timeoutSeconds: 30 },
    });
    assert.deepEqual(notes, [
      'line 8: udp/53 is not carried over (profiles name TCP ports)',
      'line 17: NAT_ACCESS is not carried over',
    ]);
  });

  it('fills in what a stanza leaves out', () => {
    const { profile, notes } = profileOfFwknoprc(RC, { stanza: 'bare', user: 'alice' });
    assert.deepEqual(profile, {
      ...{ host: 'bare', client: 'alice', scheme: 'fwknop', services: { https: 443 } },
      ...{ port: 62_201, user: 'alice', key: Buffer.from('secret'), hmacKey: null, encryptionMode: 'cbc' },
      ...{ hmacDigest: 'sha256', digest: 'sha512', source: 'observed', timeoutSeconds: 30 },
    });
    assert.deepEqual(notes, [
      'line 23: ALLOW_IP is taken for source: knocks name no address',
      'stanza bare has no HMAC key: knocks go without one',
    ]);
  });

  const rows: readonly [what: string, rc: string, problem: string][] = [
    ['no such stanza', '[a]\n[b\u001b]\n', 'there is no stanza gw (there is a, b\\u{1b})'],
    ['nothing', '', 'there is no stanza gw (there is none)'],
    ['GPG', '[gw]\nUSE_GPG Y\n', 'USE_GPG: GPG packets are not supported'],
    ['TCP', '[gw]\nSPA_SERVER_PROTO tcp\n', 'SPA_SERVER_PROTO must be udp'],
    ['no port', '[gw]\nKEY secret\n', 'ACCESS names no TCP port'],
    ['no key', '[gw]\nACCESS tcp/22\n', 'KEY_BASE64 is missing'],
    ['a key that is no base64', '[gw]\nACCESS tcp/22\nKEY_BASE64 secret!\n', 'KEY_BASE64 is not base64'],
    [
      'a mode that is none',
      '[gw]\nACCESS tcp/22\nKEY secret\nENCRYPTION_MODE PCBC\n',
      'ENCRYPTION_MODE must be cbc, ecb, cfb, ofb, ctr, legacy',
    ],
  ];
  for (const [what, rc, problem] of rows) {
    it(`refuses ${what}, without a word of a key`, () => {
      assert.throws(() => profileOfFwknoprc(rc, { stanza: 'gw', user: 'alice' }), {
        code: 'ERR_PROFILE',
        message: `stanza cannot be used: ${problem}`,
      });
    });
  }
});
