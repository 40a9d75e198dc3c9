// SPA clients in a configuration: what they mean, and for each way to get them wrong the line that says so.

import assert from 'node:assert/strict';
import { KEY, OTHER_SECRET, parsed, problems, RSA_KEY, SECRET, SPA, type Host } from './support.ts';

const ACCESS_KEY = Buffer.alloc(32, 0x11);

/** The configuration with other settings of its client. */
function client(settings: string): string {
  return SPA.replace(/\{ scheme.*\}/u, `{ ${settings} }`);
}

describe('an SPA client', () => {
  it('gets every default', async () => {
    const config = await parsed(SPA);
    assert.deepEqual(config.clients, [
      {
        name: 'alice',
        scheme: 'spa',
        services: ['ssh'],
        bits: 128,
        key: { publicKey: `${KEY} alice@laptop` },
        bind: 'observed',
        widestPrefix: [24, 56],
      },
    ]);
    assert.deepEqual(config.accessKeys, [ACCESS_KEY]);
    assert.deepEqual(config.warnings, []);
  });

  it('means what it says', async () => {
    const { clients } = await parsed(
      client(`scheme: spa, secret: ${SECRET}, bind: prefix, widest_prefix: [16, 48], services: [ssh, ssh]`),
    );
    assert.deepEqual(clients, [
      {
        name: 'alice',
        scheme: 'spa',
        services: ['ssh'],
        bits: 256,
        key: { secret: Buffer.from(SECRET, 'base64') },
        bind: 'prefix',
        widestPrefix: [16, 48],
      },
    ]);
  });

  it('may have its secret in a file, and an at sign in its name', async () => {
    const text = client('scheme: spa, secret_file: field.key, services: [ssh]').replace('alice:', 'a@b.c:');
    const [only] = (await parsed(text)).clients;
    assert.ok(only?.scheme === 'spa' && only.name === 'a@b.c');
    assert.deepEqual(only.key, { secret: Buffer.from(SECRET, 'base64') });
  });

  it('may keep its public key in a file that others can read', async () => {
    assert.deepEqual(await problems(SPA, { mode: 0o644 }), []);
  });

  it('may do without a clock, with a warning', async () => {
    const { clients, warnings } = await parsed(SPA.replace('services: [', 'no_clock: true, services: ['));
    assert.ok(clients[0]?.scheme === 'spa' && clients[0].key.clock === false);
    const column = SPA.split('\n')[6]?.indexOf('services: [') ?? 0;
    assert.deepEqual(
      warnings.map(({ line, column: at, message }) => [line, at, message]),
      [
        [
          7,
          column + 'no_clock: '.length + 1,
          'client alice: no_clock: a recorded knock works once more if the replay state is ever lost, and the kernel no longer filters forged knocks (give it a clock)',
        ],
      ],
    );
    const [timed] = (await parsed(SPA.replace('services: [', 'no_clock: false, services: ['))).clients;
    assert.ok(timed?.scheme === 'spa' && timed.key.clock !== false);
  });

  it('may stand beside clients of other schemes', async () => {
    const { clients } = await parsed(
      `${SPA}  field: { scheme: one-time, secret_file: field.key, services: [ssh] }\n`,
    );
    assert.deepEqual(
      clients.map(({ scheme }) => scheme),
      ['spa', 'one-time'],
    );
  });
});

describe('access keys', () => {
  const two = [ACCESS_KEY, Buffer.from(OTHER_SECRET, 'base64')];
  const rows: readonly [what: string, line: string, keys: readonly Buffer[]][] = [
    ['one file', 'access_key_file: gateway.key', [ACCESS_KEY]],
    ['a list of one', 'access_key_file: [gateway.key]', [ACCESS_KEY]],
    ['the new one and the old one', 'access_key_file: [gateway.key, other.key]', two],
    ['two in the file itself', `access_key: [${ACCESS_KEY.toString('base64')}, ${OTHER_SECRET}]`, two],
  ];
  for (const [what, line, keys] of rows) {
    it(`may be ${what}, in that order`, async () => {
      const { accessKeys } = await parsed(SPA.replace('access_key_file: gateway.key', line));
      assert.deepEqual(accessKeys, keys);
    });
  }
});

describe('a configuration with SPA clients is refused', () => {
  const access = (line: string): string => SPA.replace('access_key_file: gateway.key', line);
  const onSocket = (line: string): string => SPA.replace('interface: eth0', line);
  const rows: readonly [what: string, text: string, lines: string, host?: Host][] = [
    // The client
    [
      'without a key',
      client('scheme: spa, services: [ssh]'),
      "7:3: client alice: key is missing (add key: and the line of the client's .pub file, in quotes)",
    ],
    [
      'for a key and a secret',
      client(`scheme: spa, key: "${KEY}", secret: ${SECRET}, services: [ssh]`),
      '7:122: client alice: key and secret are both given (keep one)',
    ],
    [
      'for a secret and a secret_file',
      client(`scheme: spa, secret_file: field.key, secret: ${SECRET}, services: [ssh]`),
      '7:38: client alice: secret and secret_file are both given (keep one)',
    ],
    [
      'for a key of another type',
      client(`scheme: spa, key: "${RSA_KEY}", services: [ssh]`),
      '7:30: client alice: key must not be of type ssh-rsa: only ssh-ed25519 keys can sign knocks (make one: ssh-keygen -t ed25519)',
    ],
    [
      'for a key that is cut off',
      client(`scheme: spa, key: "${KEY.slice(0, -8)}", services: [ssh]`),
      "7:30: client alice: key must be an OpenSSH public key (paste the line of the client's .pub file)",
    ],
    [
      'for a key with options',
      client(`scheme: spa, key: 'restrict ${KEY}', services: [ssh]`),
      "7:30: client alice: key must be an OpenSSH public key (paste the line of the client's .pub file)",
    ],
    [
      'for the name of a file',
      client('scheme: spa, key: alice.pub, services: [ssh]'),
      "7:30: client alice: key must be an OpenSSH public key (paste the line of the client's .pub file)",
    ],
    [
      'for a key that is a number',
      client('scheme: spa, key: 7, services: [ssh]'),
      "7:30: client alice: key must be text (paste the line of the client's .pub file, in quotes)",
    ],
    [
      'for a short secret',
      client(`scheme: spa, secret: ${Buffer.alloc(31).toString('base64')}, services: [ssh]`),
      '7:33: client alice: secret must be 32 bytes, not 31 (make one with portknock keygen --secret --out FILE)',
    ],
    [
      'for a long secret',
      client(`scheme: spa, secret: ${Buffer.alloc(33).toString('base64')}, services: [ssh]`),
      '7:33: client alice: secret must be 32 bytes, not 33 (make one with portknock keygen --secret --out FILE)',
    ],
    [
      'for an empty secret',
      client('scheme: spa, secret: "", services: [ssh]'),
      '7:25: client alice: secret must be base64 of 32 bytes, and is not base64 (make one with portknock keygen --secret --out FILE)',
    ],
    [
      'for a secret that others can read with the file',
      client(`scheme: spa, secret: ${SECRET}, services: [ssh]`),
      '7:33: client alice: secret stands in a file that others can read (chmod 600 /gw/portknockd.yaml, or move it into a secret_file)',
      { mode: 0o640 },
    ],
    [
      'for a bind that is none',
      client(`scheme: spa, secret_file: field.key, bind: loose, services: [ssh]`),
      '7:55: client alice: bind must be observed, exact or prefix, not "loose" (write one of them)',
    ],
    ...['24', '[24]', '[0, 56]', '[33, 56]', '[24, 129]', '[24, 56, 1]', '["24", 56]'].map(
      (widest): [string, string, string] => [
        `for the widest prefix ${widest}`,
        client(`scheme: spa, secret_file: field.key, widest_prefix: ${widest}, services: [ssh]`),
        `7:64: client alice: widest_prefix must be two lengths, 1 to 32 for IPv4 and 1 to 128 for IPv6, not ${widest.replaceAll(' ', '')} (as in [24, 56])`,
      ],
    ),
    [
      'for a no_clock that is a word',
      client('scheme: spa, secret_file: field.key, no_clock: maybe, services: [ssh]'),
      '7:59: client alice: no_clock must be true or false, not "maybe" (write one of them)',
    ],
    [
      'for a key of another scheme',
      client('scheme: spa, secret_file: field.key, digest: md5, services: [ssh]'),
      '7:49: client alice: key is not known: digest (known here: scheme, key, secret, secret_file, bind, widest_prefix, no_clock, services, from, expires)',
    ],
    [
      'for an unknown service',
      SPA.replace('[ssh]', '[shh]'),
      '7:138: client alice: service is not known: shh (did you mean ssh?)',
    ],
    // Keys that two have
    [
      'for two clients with one public key, whatever its comment',
      `${SPA}  bob: { scheme: spa, key: "${KEY} bob", services: [ssh] }\n`,
      '8:28: client bob: key is that of client alice (one client, one key: remove one of them)',
    ],
    [
      'for two clients with one secret, whatever their schemes',
      `${client('scheme: spa, secret_file: field.key, services: [ssh]')}  field: { scheme: one-time, secret: ${SECRET}, services: [ssh] }\n`,
      '8:38: client field: secret is that of client alice (give each its own: portknock keygen --secret --out FILE)',
    ],
    [
      'for a client with the access key as its secret',
      client('scheme: spa, secret_file: gateway.key, services: [ssh]'),
      "7:38: client alice: secret is the gateway's access key, known to every client (give each its own: portknock keygen --secret --out FILE)",
    ],
    // The gateway
    [
      'without an access key',
      access('state_dir: state'),
      '1:1: access_key_file is missing: SPA clients need it (portknock keygen --secret --out gateway.key makes one, then add access_key_file: gateway.key)',
    ],
    [
      'without a gateway name',
      SPA.replace('gateway: gw.example', 'state_dir: state'),
      '1:1: gateway is missing: SPA clients name it in their knocks (add gateway: gw.example)',
    ],
    [
      'for three access keys',
      access('access_key_file: [gateway.key, other.key, field.key]'),
      '3:18: access_key_file must be one, or a list of 1 to 2 (while it is replaced two: first the new one)',
    ],
    [
      'for an empty list of access keys',
      access('access_key_file: []'),
      '3:18: access_key_file must be one, or a list of 1 to 2 (while it is replaced two: first the new one)',
    ],
    [
      'for one access key twice',
      access('access_key_file: [gateway.key, gateway.key]'),
      '3:32: access_key_file has the same key twice (keep one)',
    ],
    [
      'for a second access key that is not there',
      access('access_key_file: [gateway.key, gone.key]'),
      '3:32: access_key_file cannot be read: /gw/gone.key (there is no such file: portknock keygen --secret --out /gw/gone.key)',
    ],
    [
      'for a second access key that others can read',
      access('access_key_file: [gateway.key, other.key]'),
      '3:32: access_key_file can be read by others: /gw/other.key (chmod 600 /gw/other.key)',
      { files: { '/gw/other.key': { mode: 0o644, text: OTHER_SECRET } } },
    ],
    [
      'for an access key that is too large a file',
      SPA,
      '3:18: access_key_file is too large: /gw/gateway.key (is it the right file?)',
      { files: { '/gw/gateway.key': { whole: false } } },
    ],
    [
      'for access keys of both kinds',
      access(`access_key_file: gateway.key\naccess_key: ${OTHER_SECRET}`),
      '4:13: access_key and access_key_file are both given (keep one)',
    ],
    [
      'for an access key that is a number',
      access('access_key: [1]'),
      '3:14: access_key must be base64 text (quote it, or keep it in a file of its own)',
    ],
    [
      'for a socket that does not have the usual knock port',
      onSocket('socket: 40000-40015'),
      '2:9: knock_port 62201 is not within socket 40000-40015: SPA knocks come there (write knock_port: 40000)',
    ],
    [
      'for a knock port beyond the socket',
      onSocket('socket: 40000\nknock_port: 40001'),
      '3:13: knock_port 40001 is not within socket 40000: SPA knocks come there (write knock_port: 40000)',
    ],
    [
      'for two services that a knock cannot tell apart',
      SPA.replace('{ port: 22 }', '{ port: 22 }\n  s46695: { port: 23 }\n  s97941: { port: 24 }'),
      '5:3: services s46695 and s97941 have the same id in SPA knocks (rename one)',
    ],
  ];
  for (const [what, text, line, host] of rows) {
    it(what, async () => {
      assert.deepEqual(await problems(text, host), line.split('\n'));
    });
  }

  it('without a word of a private key that somebody pasted', async () => {
    const armour = (label: string) => `-----${label} OPENSSH PRIVATE KEY-----`;
    const text = `${armour('BEGIN')}\\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmU\\n${armour('END')}`;
    assert.deepEqual(await problems(client(`scheme: spa, key: "${text}", services: [ssh]`)), [
      '7:30: client alice: key must be the public one, this is a private key (paste the line of the .pub file; the private one stays with the client)',
    ]);
  });

  it('not for a socket with the knock port, nor for one without SPA clients', async () => {
    assert.deepEqual(await problems(onSocket('socket: 62201')), []);
    const without = onSocket('socket: 40000-40015').replace(
      /\{ scheme.*\}/u,
      '{ scheme: one-time, secret_file: field.key, ports: 40000-40015, services: [ssh] }',
    );
    assert.deepEqual(await problems(without), []);
  });

  it('without a key of any client for the access key, when there are none of this scheme', async () => {
    const text = SPA.replace('access_key_file: gateway.key\n', '').replace(
      /\{ scheme.*\}/u,
      '{ scheme: one-time, secret_file: field.key, services: [ssh] }',
    );
    assert.deepEqual(await problems(text), []);
  });
});
