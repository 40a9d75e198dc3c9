// Clients of fwknop in a configuration: what they mean, and for each way to get them wrong the line that says so.

import assert from 'node:assert/strict';
import { assemble } from '../../lib/config/assemble.ts';
import { knockOf } from '../support/fwknop-knocks.ts';
import { NO_HISTORY } from '../support/history.ts';
import { datagram, NOW } from '../support/packets.ts';
import { parsed, problems, type Host } from './support.ts';

const KEY = Buffer.alloc(32, 'key');
const HMAC_KEY = Buffer.alloc(64, 'hmac');
const BOTH = `key_base64: ${KEY.toString('base64')}, hmac_key_base64: ${HMAC_KEY.toString('base64')}`;

/** A configuration whose client says this. */
function client(settings: string): string {
  return `interface: eth0
services:
  ssh: { port: 22 }
  dns: { port: 53, protocol: udp }
clients:
  phone: { scheme: fwknop, ${settings}, services: [ssh] }
`;
}

/** The warnings of a configuration, without their places. */
async function warnings(text: string): Promise<readonly string[]> {
  return (await parsed(text)).warnings.map(({ message }) => message.split(' (')[0] ?? '');
}

describe('a client of scheme fwknop', () => {
  it('gets every default', async () => {
    const config = await parsed(client(BOTH));
    assert.deepEqual(config.clients, [
      {
        name: 'phone',
        scheme: 'fwknop',
        services: ['ssh'],
        bits: 256,
        key: {
          ...{ key: KEY, hmacKey: HMAC_KEY, hmacDigest: 'sha256', encryptionMode: 'cbc' },
          ...{ ports: {}, mayClaim: [], requireAddress: false, nat: false },
        },
      },
    ]);
    assert.deepEqual(config.warnings, []);
  });

  it('means what it says', async () => {
    const { clients } = await parsed(
      client(
        'key: "a pass phrase, as it is", hmac_key: "another passphrase", hmac_digest: sha3_512, encryption_mode: ofb, may_claim: 203.0.113.0/24, require_address: true, ports: { tcp/2222: ssh }, nat: true',
      ),
    );
    assert.ok(clients[0]?.scheme === 'fwknop');
    assert.deepEqual(clients[0].key, {
      ...{ key: Buffer.from('a pass phrase, as it is'), hmacKey: Buffer.from('another passphrase') },
      ...{ hmacDigest: 'sha3_512', encryptionMode: 'ofb', nat: true },
      ...{ ports: { 'tcp/2222': 'ssh' }, mayClaim: ['203.0.113.0/24'], requireAddress: true },
    });
    assert.equal(clients[0].bits, 144);
  });

  it('may have its keys in files', async () => {
    const files = { '/gw/hmac.key': { text: `${HMAC_KEY.toString('base64')}\n` } };
    const { clients } = await parsed(client('key_file: field.key, hmac_key_file: hmac.key'), { files });
    assert.ok(clients[0]?.scheme === 'fwknop');
    assert.deepEqual(clients[0].key.hmacKey, HMAC_KEY);
  });

  it('may do without HMAC, with a warning', async () => {
    const text = client(`key_base64: ${KEY.toString('base64')}, hmac: none`);
    const { clients } = await parsed(text);
    assert.ok(clients[0]?.scheme === 'fwknop' && clients[0].key.hmacKey === null);
    assert.deepEqual(await warnings(text), [
      'client phone: hmac: none: forged knocks are told by decrypting them, and in the modes cfb, ofb and ctr a knock can be altered on its way',
    ]);
  });

  it('is warned of keys that can be searched for, and of a mode that sends no HMAC', async () => {
    assert.deepEqual(
      await warnings(client('key: "fifteen letters", hmac_key: short, encryption_mode: legacy')),
      [
        'client phone: key has 15 bytes, less than 16',
        'client phone: hmac_key has 5 bytes, less than 16',
        'client phone: fwknop sends no HMAC in the mode legacy',
      ],
    );
  });

  it('becomes a scheme that takes its knocks, for its own services only', async () => {
    const text = client(`${BOTH}, ports: { tcp/2222: ssh }`).replace('eth0', 'eth0\nknock_port: 5000');
    const { schemes } = assemble(await parsed(text));
    const [scheme] = schemes;
    assert.ok(scheme !== undefined && schemes.length === 1);
    const said = (ask: string): string => {
      const message = `198.51.100.7,${ask}`;
      const cipher = { key: KEY, hmac: { key: HMAC_KEY, digest: 'sha256' } } as const;
      const payload = knockOf({ message }, cipher);
      const match = scheme.match(datagram({ port: 5000, payload, src: '198.51.100.7', at: NOW }), NO_HISTORY);
      return match?.kind === 'reject' ? match.reason : (match?.kind ?? 'ignored');
    };
    assert.deepEqual(['tcp/22', 'tcp/2222', 'udp/53', 'tcp/23'].map(said), [
      'request',
      'request',
      'port-refused',
      'port-refused',
    ]);
  });
});

describe('a configuration with a client of fwknop is refused', () => {
  const MAKE = 'fwknop --key-gen makes both';
  const rows: readonly [what: string, text: string, lines: readonly string[], host?: Host][] = [
    [
      'without keys',
      client('hmac_digest: sha1'),
      [
        `6:3: client phone: key_base64 is missing (${MAKE})`,
        `6:3: client phone: hmac_key_base64 is missing (${MAKE}, or hmac: none for a client without)`,
      ],
    ],
    [
      'for a key given twice',
      client(`${BOTH}, key: again`),
      ['6:40: client phone: key and key_base64 are both given (keep one)'],
    ],
    [
      'for an HMAC key and none',
      client(`hmac: none, ${BOTH}`),
      ['6:34: client phone: hmac and hmac_key_base64 are both given (keep one)'],
    ],
    [
      'for another word than none',
      client('hmac: no, key: "a key of some length"'),
      ['6:34: client phone: hmac must be none, not "no" (or give it an hmac_key_base64)'],
    ],
    [
      'for one key in both places',
      client('key: "the same all over", hmac_key: "the same all over"'),
      [`6:64: client phone: hmac_key is that of client phone (give each its own: ${MAKE})`],
    ],
    [
      'for a passphrase of 33 bytes, and an HMAC key of 129',
      client(`key: ${'k'.repeat(33)}, hmac_key: ${'h'.repeat(129)}`),
      [
        `6:33: client phone: key must be 1 to 32 bytes, not 33 (${MAKE})`,
        `6:78: client phone: hmac_key must be 1 to 128 bytes, not 129 (${MAKE})`,
      ],
    ],
    [
      'for a key that is no base64',
      client(BOTH.replace('key_base64: ', 'key_base64: =')),
      [
        '6:40: client phone: key_base64 must be base64 of 1 to 32 bytes, and is not base64 (make one with portknock keygen --secret --out FILE)',
      ],
    ],
    [
      'for words that fwknop does not have',
      client(`${BOTH}, hmac_digest: sha3-256, encryption_mode: pcbc`),
      [
        '6:206: client phone: hmac_digest must be md5, sha1, sha256, sha384, sha512, sha3_256 or sha3_512, not "sha3-256" (write one of them)',
        '6:233: client phone: encryption_mode must be cbc, ecb, cfb, ofb, ctr or legacy, not "pcbc" (write one of them)',
      ],
    ],
    [
      'for claims and ports that are none',
      client(`${BOTH}, may_claim: [10.0.0.0/8, home], ports: { 22: ssh }`),
      [
        '6:217: client phone: may_claim must be an address or a prefix, not "home" (as in 203.0.113.0/24)',
        '6:231: client phone: ports must name services by the ports that knocks ask for, not {"22":"ssh"} (as in { tcp/2222: ssh })',
      ],
    ],
    [
      'for a port of a service that is not its own',
      client(`${BOTH}, ports: { udp/53: dns }`),
      ['6:200: client phone: ports name dns, which is none of its services (add it there)'],
    ],
    [
      'for keys that others can read',
      client('key: "a key of some length", hmac: none'),
      [
        '6:33: client phone: key stands in a file that others can read (chmod 600 /gw/portknockd.yaml, or move it into a key_file)',
      ],
      { mode: 0o644 },
    ],
    [
      'on a socket where its knocks do not come',
      client(BOTH).replace('interface: eth0', 'socket: 40000'),
      [
        '1:9: knock_port 62201 is not within socket 40000: fwknop knocks come there (write knock_port: 40000)',
      ],
    ],
  ];
  for (const [what, text, lines, host] of rows) {
    it(what, async () => {
      assert.deepEqual(await problems(text, host), lines);
    });
  }
});
