// The gateway's side of fwknop: every check in its order, each refusal with its own reason, and that nothing but the
// packet itself, character for character, is taken for it.

import assert from 'node:assert/strict';
import { formatAddress } from '../../lib/address.ts';
import { formatBareBase64 } from '../../lib/base64.ts';
import { HASH_NAMES } from '../../lib/crypto/hashes.ts';
import { fwknop } from '../../lib/scheme/fwknop.ts';
import { ENCRYPTION_MODES, wrap } from '../../lib/scheme/fwknop-cipher.ts';
import type { FwknopClient } from '../../lib/scheme/fwknop-clients.ts';
import { encodeFields, type Fields } from '../../lib/scheme/fwknop-format.ts';
import { sealFwknop } from '../../lib/scheme/fwknop-seal.ts';
import { hmacOf } from '../../lib/crypto/hashes.ts';
import { parseAddress } from '../../lib/address.ts';
import type { KnockRequest, Scheme } from '../../lib/scheme/scheme.ts';
import {
  arrive,
  CIPHER,
  fieldsOf,
  FWKNOP_PORT,
  gatewayOf,
  HMAC_KEY,
  KEY,
  knockOf,
  PHONE,
  phoneOf,
  said,
  SOURCE,
} from '../support/fwknop-knocks.ts';
import { datagram, NOW, syn } from '../support/packets.ts';
import { NO_HISTORY } from '../support/history.ts';

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const HMAC = Buffer.from(HMAC_KEY);

function requestOf(
  gateway: Scheme,
  payload: Buffer,
  where: { src?: string; at?: number } = {},
): KnockRequest {
  const match = arrive(gateway, payload, where);
  return match?.kind === 'request' ? match : assert.fail(said(match));
}

describe('fwknop(), what it takes', () => {
  for (const mode of ENCRYPTION_MODES) {
    for (const hmac of HASH_NAMES) {
      for (const digest of HASH_NAMES) {
        it(`a knock in ${mode}, HMAC ${hmac}, digest ${digest}`, () => {
          const gateway = phoneOf({ encryptionMode: mode, hmacDigest: hmac });
          const payload = knockOf({}, { mode, hmac: { key: HMAC, digest: hmac }, digest });
          assert.equal(said(arrive(gateway, payload)), 'request ssh');
        });
      }
    }

    it(`a knock in ${mode} without HMAC`, () => {
      const gateway = phoneOf({ encryptionMode: mode, hmacKey: null });
      assert.equal(said(arrive(gateway, knockOf({}, { mode, hmac: null }))), 'request ssh');
    });
  }

  it('a knock that names its own source, for that address', () => {
    const { claim, elsewhere, services, counter, until, once } = requestOf(gatewayOf(), knockOf());
    assert.deepEqual([services, counter, until, elsewhere], [['ssh'], null, undefined, undefined]);
    assert.deepEqual([claim && formatAddress(claim.address), claim?.length], [SOURCE, 32]);
    assert.equal(once?.untilMs, NOW + 240_000);
  });

  it('a knock that names 0.0.0.0, for wherever it comes from, IPv6 too', () => {
    for (const src of [SOURCE, '2001:db8::7']) {
      const { claim } = requestOf(gatewayOf(), knockOf({ message: '0.0.0.0,tcp/22' }), { src });
      assert.equal(claim, undefined);
    }
  });

  it('several ports, each service once', () => {
    const payload = knockOf({ message: `${SOURCE},udp/53,tcp/22,tcp/22` });
    assert.deepEqual(requestOf(gatewayOf(), payload).services, ['dns', 'ssh']);
  });

  it('ports that the client calls otherwise', () => {
    const gateway = phoneOf({ ports: { 'tcp/2200': 'ssh' } });
    assert.equal(said(arrive(gateway, knockOf({ message: `${SOURCE},tcp/2200` }))), 'request ssh');
    assert.equal(said(arrive(gateway, knockOf({ message: `${SOURCE},tcp/22` }))), 'request ssh');
  });

  it('an address that the client may claim', () => {
    const gateway = phoneOf({ mayClaim: ['203.0.113.0/24', '192.0.2.9'] });
    const { claim, elsewhere } = requestOf(gateway, knockOf({ message: '203.0.113.77,tcp/22' }));
    assert.deepEqual([claim && formatAddress(claim.address), elsewhere], ['203.0.113.77', true]);
    requestOf(gateway, knockOf({ message: '192.0.2.9,tcp/22' }));
    const other = arrive(gateway, knockOf({ message: '192.0.2.10,tcp/22' }));
    assert.equal(said(other), 'source-mismatch phone 192.0.2.10');
  });

  it('the address of its packet, unless the client must name one', () => {
    const anywhere = knockOf({ message: '0.0.0.0,tcp/22' });
    assert.equal(said(arrive(gatewayOf(), anywhere)), 'request ssh');
    const gateway = phoneOf({ requireAddress: true });
    assert.equal(said(arrive(gateway, anywhere)), 'source-mismatch phone 0.0.0.0');
    assert.equal(said(arrive(gateway, knockOf({ message: `${SOURCE},tcp/22` }))), 'request ssh');
  });

  it('a time-out, from the moment it arrives; 0 means none', () => {
    const at = NOW + 40_000;
    const timed = (timeoutSeconds: number): Buffer => knockOf({ type: 3, timeoutSeconds });
    assert.equal(requestOf(gatewayOf(), timed(60), { at }).until, at + 60_000);
    assert.equal(requestOf(gatewayOf(), timed(0), { at }).until, undefined);
  });

  it('a forwarding of a client that may, to just where the service is', () => {
    const nat = (type: 2 | 4 | 5 | 6, target: string, port = 2222): string =>
      said(
        arrive(
          phoneOf({ nat: true }),
          knockOf({
            ...{ type, nat: target, message: `${SOURCE},tcp/${port}` },
            timeoutSeconds: type === 4 || type === 6 ? 60 : null,
          }),
        ),
      );
    for (const type of [2, 4, 5, 6] as const) assert.equal(nat(type, '10.0.0.5,22'), 'request nas');
    assert.equal(nat(2, '10.0.0.5,23'), 'nat-refused phone 10.0.0.5:23');
    assert.equal(nat(2, '10.0.0.6,22'), 'nat-refused phone 10.0.0.6:22');
    assert.equal(nat(2, '10.0.0.5,22', 22), 'nat-refused phone 10.0.0.5:22');
    assert.equal(nat(2, '10.0.0.5,22', 23), 'port-refused phone tcp/23');
    assert.equal(nat(2, '10.0.0.5'), 'malformed phone');
  });

  it('keys as text, as bytes and as base64', () => {
    const base64 = (text: string): string => Buffer.from(text).toString('base64');
    const forms: readonly FwknopClient[] = [
      { key: Buffer.from(KEY), hmacKey: HMAC },
      { keyBase64: base64(KEY), hmacKeyBase64: base64(HMAC_KEY) },
      { key: KEY, hmacKeyBase64: base64(HMAC_KEY) },
    ];
    for (const phone of forms) {
      assert.equal(said(arrive(gatewayOf({ clients: { phone } }), knockOf())), 'request ssh');
    }
  });

  it('knocks of several clients, each by its own keys, from one address', () => {
    const clients: Record<string, FwknopClient> = {};
    for (const [i, hmacDigest] of HASH_NAMES.entries()) {
      clients[`signed-${i}`] = { key: `key ${i}`, hmacKey: `hmac ${i}`, hmacDigest };
      clients[`bare-${i}`] = {
        key: `bare ${i}`,
        hmacKey: null,
        encryptionMode: ENCRYPTION_MODES[i] ?? 'cbc',
      };
    }
    const gateway = gatewayOf({ clients });
    for (const [i, digest] of HASH_NAMES.entries()) {
      const hmac = { key: Buffer.from(`hmac ${i}`), digest };
      const signed = knockOf({}, { key: Buffer.from(`key ${i}`), hmac });
      const mode = ENCRYPTION_MODES[i] ?? 'cbc';
      const bare = knockOf({}, { key: Buffer.from(`bare ${i}`), hmac: null, mode });
      assert.equal(requestOf(gateway, signed).client, `signed-${i}`);
      assert.equal(requestOf(gateway, bare).client, `bare-${i}`);
    }
  });
});

describe('fwknop(), what it refuses', () => {
  const sealed = (fields: Partial<Fields>): Buffer => knockOf(fields);
  /** Right HMAC over whatever. */
  const over = (text: string): string =>
    text.slice(10) + formatBareBase64(hmacOf('sha256', HMAC, Buffer.from(text)));
  const wrapped = (plain: Uint8Array): string =>
    wrap(plain, { mode: 'cbc', key: Buffer.from(KEY), salt: Buffer.alloc(8) });
  const padded = (text: string): Buffer => Buffer.from(text, 'latin1');
  const good = encodeFields(fieldsOf(), 'sha256').toString();
  const longer = encodeFields(fieldsOf({ user: 'alice-in-a-far-country' }), 'sha256');
  const ports = (count: number): string =>
    [SOURCE, ...Array.from({ length: count }, (_, i) => `tcp/${10_000 + i}`)].join(',');

  const rows: readonly [what: string, payload: Buffer | string, verdict: string, gateway?: Scheme][] = [
    // Length and spelling
    ['139 characters', '/'.repeat(139), 'ignored'],
    ['nothing', '', 'ignored'],
    ['1501 characters', '/'.repeat(1501), 'ignored'],
    ['400 characters', '/'.repeat(400), 'gpg-packet'],
    ['1500 characters', '/'.repeat(1500), 'gpg-packet'],
    ['13 ports, as fwknopd', sealed({ message: ports(13) }), 'gpg-packet'],
    ['bytes', Buffer.concat([knockOf().subarray(1), Buffer.from([0x80])]), 'ignored'],
    ['a zero byte', `${knockOf().toString()}\0`, 'ignored'],
    ['padding', `${knockOf().toString()}=`, 'malformed'],
    ['a line feed', `${knockOf().toString()}\n`, 'malformed'],
    ['HTTP', `GET /${knockOf().toString()} HTTP/1.0\r\nUser-Agent: Fwknop/2.6.10\r\n\r\n`, 'malformed'],
    ['the alphabet for addresses', knockOf().toString().replace(/^./u, '_'), 'malformed'],
    ['the prefix that is never sent', `U2FsdGVkX1${knockOf().toString()}`, 'malformed'],
    ['another first character', `A${knockOf().toString().slice(1)}`, 'malformed'],
    ['a length that no packet has', `/${'A'.repeat(183)}`, 'malformed'],
    // Whose it is
    ['another HMAC key', knockOf({}, { hmac: { key: Buffer.from('x'), digest: 'sha256' } }), 'hmac-mismatch'],
    [
      'another HMAC digest of the same length',
      knockOf({}, { hmac: { key: HMAC, digest: 'sha3_256' } }),
      'hmac-mismatch',
    ],
    ['no HMAC', knockOf({}, { hmac: null }), 'hmac-mismatch'],
    ['an HMAC where none is configured', knockOf(), 'decrypt-failed', phoneOf({ hmacKey: null })],
    [
      'another key, without HMAC',
      knockOf({}, { hmac: null, key: HMAC }),
      'decrypt-failed',
      phoneOf({ hmacKey: null }),
    ],
    ['no clients', knockOf(), 'hmac-mismatch', gatewayOf({ clients: {} })],
    // What is inside
    ['another key', knockOf({}, { key: Buffer.from('x') }), 'decrypt-failed phone'],
    ['another mode', knockOf({}, { mode: 'cfb' }), 'decrypt-failed phone'],
    [
      'the legacy mode',
      knockOf({}, { mode: 'legacy', key: Buffer.from('short') }),
      'decrypt-failed phone',
      phoneOf({ key: 'short' }),
    ],
    ['15 digits', sealed({ rand: '0'.repeat(15) }), 'decrypt-failed phone'],
    ['another digest', over(wrapped(padded(good.replace('3.0.0', '3.0.1')))), 'digest-mismatch phone'],
    [
      'spare bits under a right HMAC',
      over(wrapped(longer).replace(/.$/u, (last) => LETTERS[LETTERS.indexOf(last) + 1] ?? '')),
      'malformed phone',
    ],
    [
      'another type',
      over(wrapped(encodeFields({ ...fieldsOf(), type: 7 as 6 }, 'sha256'))),
      'malformed phone',
    ],
    ['a message that is none', sealed({ message: `${SOURCE},icmp/1` }), 'malformed phone'],
    ['an address with leading zeros', sealed({ message: '098.51.100.7,tcp/22' }), 'malformed phone'],
    // What it asks for
    ['a command', sealed({ type: 0, message: `${SOURCE},/bin/true` }), 'command-refused phone'],
    ['a forwarding', sealed({ type: 2, nat: '10.0.0.5,22' }), 'nat-refused phone 10.0.0.5:22'],
    [
      'a forwarding to where the service is, of a client that may not',
      sealed({ type: 2, nat: '10.0.0.5,22', message: `${SOURCE},tcp/2222` }),
      'nat-refused phone 10.0.0.5:22',
    ],
    ['another port', sealed({ message: `${SOURCE},tcp/23` }), 'port-refused phone tcp/23'],
    ['another protocol', sealed({ message: `${SOURCE},udp/22` }), 'port-refused phone udp/22'],
    [
      'another port among others',
      sealed({ message: `${SOURCE},tcp/22,tcp/24,tcp/25` }),
      'port-refused phone tcp/24',
    ],
    [
      'a port of a service not its own',
      sealed({ message: `${SOURCE},udp/53` }),
      'port-refused phone udp/53',
      phoneOf({ services: ['ssh'] }),
    ],
    ['another address', sealed({ message: '198.51.100.8,tcp/22' }), 'source-mismatch phone 198.51.100.8'],
  ];
  for (const [what, payload, verdict, gateway = gatewayOf()] of rows) {
    it(`${what}: ${verdict}`, () => {
      assert.equal(said(arrive(gateway, payload)), verdict);
    });
  }

  const times: readonly [age: number, verdict: string, offset?: number][] = [
    [0, 'request ssh'],
    [120_000, 'request ssh'],
    [120_001, 'stale phone', -120_001],
    [143_000, 'stale phone', -143_000],
    [-30_000, 'request ssh'],
    [-30_001, 'future phone', 30_001],
    [-118_000, 'future phone', 118_000],
  ];
  for (const [age, verdict, offset] of times) {
    it(`${age} ms old: ${verdict}`, () => {
      const match = arrive(gatewayOf(), knockOf(), { at: NOW + age });
      assert.equal(said(match), verdict);
      if (match?.kind === 'reject') assert.equal(match.clockOffsetMs, offset);
    });
  }

  it('what comes elsewhere: another port, TCP', () => {
    assert.equal(arrive(gatewayOf(), knockOf(), { port: FWKNOP_PORT + 1 }), null);
    assert.equal(said(arrive(gatewayOf({ port: 5000 }), knockOf(), { port: 5000 })), 'request ssh');
    const segment = syn({ port: FWKNOP_PORT, payload: knockOf(), src: SOURCE });
    assert.equal(gatewayOf().match(segment, NO_HISTORY), null);
  });

  it('every other character in every place, every character more or less, every exchange of two', () => {
    const gateway = gatewayOf({ clients: { phone: PHONE, bare: { key: 'another', hmacKey: null } } });
    const text = knockOf().toString();
    const others: string[] = [
      `${text}A`,
      `A${text}`,
      text.slice(1),
      text.slice(0, -1),
      `${text}${text}`,
      ` ${text}`,
    ];
    for (let i = 0; i < text.length; i += 1) {
      const [before, letter, after] = [text.slice(0, i), text.charAt(i), text.slice(i + 1)];
      for (const other of `${LETTERS}=-_ \n\0`) if (other !== letter) others.push(before + other + after);
      others.push(before + after, `${before}A${letter}${after}`, `${before}=${letter}${after}`);
      const next = after.charAt(0);
      if (next !== letter && next !== '') others.push(before + next + letter + after.slice(1));
    }
    for (const other of others) {
      if (other === text) continue;
      const kind = arrive(gateway, other)?.kind ?? 'reject';
      assert.equal(kind, 'reject', other);
    }
    assert.equal(said(arrive(gateway, text)), 'request ssh');
  });
});

describe('fwknop(), one knock', () => {
  it('is known by its salt and ciphertext, wherever and whenever it comes again', () => {
    const gateway = gatewayOf();
    const payload = knockOf({ message: '0.0.0.0,tcp/22' });
    const first = requestOf(gateway, payload).once;
    const again = requestOf(gateway, payload, { src: '203.0.113.9', at: NOW + 100_000 }).once;
    assert.deepEqual(again, first);
    assert.notEqual(requestOf(gateway, knockOf({ message: '0.0.0.0,tcp/22' })).once?.id, first?.id);
  });
});

describe('sealFwknop', () => {
  const knock = {
    ...{ user: 'alice', timeMs: NOW + 999, address: parseAddress(SOURCE), timeoutSeconds: null },
    ports: [{ protocol: 'tcp', port: 22 }],
  } as const;

  it('makes knocks that the gateway takes, each another', () => {
    const one = sealFwknop(knock, CIPHER);
    const other = sealFwknop({ ...knock, timeoutSeconds: 60 }, CIPHER);
    assert.equal(requestOf(gatewayOf(), one).until, undefined);
    assert.equal(requestOf(gatewayOf(), other).until, NOW + 60_000);
    assert.notEqual(one.toString('latin1', 0, 12), sealFwknop(knock, CIPHER).toString('latin1', 0, 12));
  });

  it('refuses what fwknopd would drop for its length', () => {
    const many = Array.from({ length: 14 }, (_, i) => ({ protocol: 'tcp', port: 1000 + i }) as const);
    const address = parseAddress('1.2.3.4');
    const seal = (ports: typeof many): number => sealFwknop({ ...knock, address, ports }, CIPHER).length;
    assert.equal(seal(many.slice(1)), 396);
    assert.throws(() => seal(many), /^RangeError: knock must have 140 to 399 characters, got 417$/u);
    const bare = { ...CIPHER, hmac: null, digest: 'md5' } as const;
    assert.throws(
      () => sealFwknop({ ...knock, user: 'a', timeMs: 0, address: null }, bare),
      /140 to 399 characters, got 118/u,
    );
  });
});

describe('fwknop(), its options', () => {
  const rows: readonly [what: string, change: Partial<FwknopClient>, message: RegExp][] = [
    ['no key', { key: '' }, /^RangeError: key of client phone must have 1 to 32 bytes, got 0$/u],
    ['a key of 33 bytes', { key: 'k'.repeat(33) }, /must have 1 to 32 bytes, got 33$/u],
    ['a key in UTF-8 of 33 bytes', { key: `${'é'.repeat(16)}k` }, /got 33$/u],
    [
      'no HMAC key',
      { hmacKey: '' },
      /^RangeError: hmacKey of client phone must have 1 to 128 bytes, got 0$/u,
    ],
    ['an HMAC key of 129 bytes', { hmacKey: 'k'.repeat(129) }, /got 129$/u],
    ['one key for both', { hmacKey: KEY }, /^TypeError: hmacKey of client phone must not be its key$/u],
    ['a key that is no base64', { keyBase64: 'a=b' }, /^TypeError: key of client phone must be base64$/u],
    [
      'an unknown digest',
      { hmacDigest: 'crc32' as 'md5' },
      /^TypeError: hmacDigest of client phone must be md5, .*got 'crc32'$/u,
    ],
    [
      'an unknown mode',
      { encryptionMode: 'pcbc' as 'cbc' },
      /^TypeError: encryptionMode of client phone must be cbc, .*got 'pcbc'$/u,
    ],
    [
      'an unknown service',
      { services: ['web'] },
      /^TypeError: services of client phone must be configured, got 'web'$/u,
    ],
    ['a service of no name', { services: ['__proto__'] }, /must be configured, got '__proto__'$/u],
    [
      'a port that is none',
      { ports: { '22/tcp': 'ssh' } },
      /^TypeError: ports of client phone must be like tcp\/22, got '22\/tcp'$/u,
    ],
    [
      'a port for a service not its own',
      { services: ['dns'], ports: { 'tcp/22': 'ssh' } },
      /^TypeError: ports of client phone must name its services, got 'ssh'$/u,
    ],
    [
      'an address that is none',
      { mayClaim: ['anywhere'] },
      /^TypeError: mayClaim of client phone must hold addresses or prefixes, got 'anywhere'$/u,
    ],
  ];
  for (const [what, change, message] of rows) {
    it(`refuse ${what}`, () => {
      assert.throws(() => phoneOf(change), message);
    });
  }

  it('refuse a port that is none', () => {
    const message = 'port must be a whole number from 1 to 65535, got 0';
    assert.throws(() => fwknop({ port: 0, services: {}, clients: {} }), new RangeError(message));
  });

  it('say what must be captured, and for how long a knock is good', () => {
    const { needs, validityMs, replayable, clients } = gatewayOf();
    assert.deepEqual(needs, [{ protocol: 'udp', ports: [62_201, 62_201], payloadLength: [140, 1500] }]);
    assert.deepEqual([validityMs, replayable, clients], [150_000, false, ['phone']]);
  });
});

describe('an SPA datagram that comes to the same port', () => {
  it('is none of our business, whatever it starts with', () => {
    for (const first of '89+/') {
      const payload = Buffer.alloc(200, 0xe5);
      payload.write(first, 'latin1');
      assert.equal(gatewayOf().match(datagram({ port: FWKNOP_PORT, payload }), NO_HISTORY), null);
    }
  });
});
