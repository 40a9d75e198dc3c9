// What a configuration means, and for each way to get it wrong the line that says so.

import assert from 'node:assert/strict';
import { loadConfig } from '../../lib/config/load.ts';
import { ConfigError } from '../../lib/config/problems.ts';
import { isKnockError } from '../../lib/errors.ts';
import { OTHER_SECRET, parsed, problems, SECRET, VALID, type Host } from './support.ts';

describe('a configuration', () => {
  it('gets every default', async () => {
    const config = await parsed(VALID);
    assert.deepEqual(config.source, { kind: 'interface', name: 'eth0' });
    assert.equal(config.knockPort, 62201);
    assert.equal(config.stateDir, '/var/lib/portknock');
    assert.deepEqual(config.firewall, { driver: 'iptables' });
    assert.deepEqual([config.firewallBackend, config.protect], ['auto', true]);
    assert.deepEqual(config.services, {
      ssh: { port: 22, protocol: 'tcp', openForMs: 30_000, connections: 1 },
    });
    assert.deepEqual(config.clients, [
      {
        name: 'field',
        scheme: 'one-time',
        services: ['ssh'],
        bits: 256,
        key: {
          secret: Buffer.from(SECRET, 'base64'),
          digest: 'sha256',
          knocks: 5,
          ports: [20000, 52767],
          stepSeconds: 10,
          carrier: 'udp',
          timeoutMs: 10_000,
        },
      },
    ]);
    assert.deepEqual(config.warnings, []);
  });

  it('means what it says', async () => {
    const config = await parsed(`
socket: "[::1]:40000-40015"
knock_port: 1
state_dir: state
firewall: mock
firewall_backend: nft
protect: reject
access_key_file: other.key
services:
  admin: { port: 8443, open_for: 2m, connections: unlimited }
  dns: { port: 53, protocol: udp }
  nas: { port: 2222, to: 10.0.0.5:22 }
  cam: { port: 554, to: "[FD00:0::5]:8554" }
open_for: 45
connections: 3
clients:
  a: { scheme: one-time, secret: ${SECRET}, digest: md5, knocks: 16, ports: 40000-40015, step: 30s,
       sequence_timeout: 500ms, services: [dns, admin, dns] }
  b: { scheme: sequence, sequence: [40003/udp, 40001/udp, 40002/udp, 40000/udp], services: [admin] }
`);
    assert.deepEqual(config.source, { kind: 'socket', ports: [40000, 40015], address: '::1' });
    assert.equal(config.stateDir, '/gw/state');
    assert.deepEqual(config.firewall, { driver: 'mock' });
    assert.deepEqual([config.firewallBackend, config.protect], ['nft', 'reject']);
    assert.deepEqual(config.accessKeys, [Buffer.from(OTHER_SECRET, 'base64')]);
    assert.deepEqual(config.services, {
      admin: { port: 8443, protocol: 'tcp', openForMs: 120_000, connections: 'unlimited' },
      dns: { port: 53, protocol: 'udp', openForMs: 45_000, connections: 3 },
      nas: {
        port: 2222,
        protocol: 'tcp',
        openForMs: 45_000,
        connections: 3,
        to: { host: '10.0.0.5', port: 22 },
      },
      cam: {
        port: 554,
        protocol: 'tcp',
        openForMs: 45_000,
        connections: 3,
        to: { host: 'fd00::5', port: 8554 },
      },
    });
    const [a, b] = config.clients;
    assert.ok(a?.scheme === 'one-time' && b?.scheme === 'sequence');
    assert.deepEqual(a.services, ['dns', 'admin']);
    assert.deepEqual([a.key.digest, a.key.knocks, a.key.stepSeconds, a.key.timeoutMs], ['md5', 16, 30, 500]);
    assert.deepEqual(b.sequence[0], { port: 40003, protocol: 'udp' });
    assert.equal(b.timeoutMs, 10_000);
  });

  it('may name a client like a property of every object', async () => {
    const { clients } = await parsed(VALID.replace('field:', 'constructor:'));
    assert.equal(clients[0]?.name, 'constructor');
  });

  it('keeps a secret in the file itself when nobody else can read it', async () => {
    const text = VALID.replace('secret_file: field.key', `secret: ${SECRET}`);
    const [client] = (await parsed(text)).clients;
    assert.ok(client?.scheme === 'one-time');
    assert.deepEqual(client.key.secret, Buffer.from(SECRET, 'base64'));
  });

  it('may have no clients yet, with a warning', async () => {
    const { warnings } = await parsed('interface: eth0\nservices: { ssh: { port: 22 } }\nclients: {}\n');
    const message = 'clients is empty: nobody can knock (portknock add-client adds one)';
    assert.deepEqual(warnings, [{ file: '/gw/portknockd.yaml', line: 3, column: 10, message }]);
  });
});

describe('a configuration gets a warning', () => {
  const rows: readonly [what: string, text: string, line: string][] = [
    [
      'for digest md5',
      VALID.replace('services: [', 'digest: md5, services: ['),
      '6:62: client field: digest md5 is for devices that have nothing else (use sha256)',
    ],
    [
      'for a weak one-time sequence',
      VALID.replace('services: [', 'carrier: tcp, knocks: 3, services: ['),
      '6:76: client field: sequence has 45 bits, less than 60 (use more knocks or ports)',
    ],
    [
      'for a plain sequence that only rises',
      VALID.replace(
        /scheme.*services/u,
        'scheme: sequence, sequence: [1/tcp, 3/tcp, 5/tcp, 9/tcp], services',
      ),
      '6:40: client field: the ports of the sequence only rise or only fall (mix them)',
    ],
    [
      'for a short plain sequence',
      VALID.replace(/scheme.*services/u, 'scheme: sequence, sequence: [7/tcp, 3/tcp], services'),
      '6:40: client field: sequence has 33 bits, less than 60 (use more knocks, or one-time)',
    ],
  ];
  for (const [what, text, line] of rows) {
    it(what, async () => {
      const { warnings } = await parsed(text);
      const lines = warnings.map((warning) => `${warning.line}:${warning.column}: ${warning.message}`);
      assert.ok(lines.includes(line), lines.join('\n'));
    });
  }
});

describe('a configuration is refused', () => {
  const client = (settings: string): string => VALID.replace(/\{ scheme.*\}/u, `{ ${settings} }`);
  const rows: readonly [what: string, text: string, lines: string, host?: Host][] = [
    // The text
    ['when empty', '', '1:1: configuration must be a map of keys (start with portknock init)'],
    ['when it is a list', '- a', '1:1: configuration must be a map of keys (start with portknock init)'],
    ['for a key given twice', `${VALID}interface: eth1\n`, '7:1: key is given twice (keep one)'],
    ['for a tab', VALID.replace('  ssh', '\tssh'), '4:1: tabs cannot indent (use spaces)'],
    [
      'for an open bracket',
      VALID.replace('[ssh]', '[ssh'),
      '6:69: yaml is not valid: flow sequence in block collection must be sufficiently indented and end with a ] (check quotes, brackets and indentation)\n6:70: yaml is not valid: flow map in block collection must be sufficiently indented and end with a } (check quotes, brackets and indentation)',
    ],
    [
      'for an alias',
      `${VALID}open_for: &a 1s\nconnections: *a\n`,
      '8:14: aliases are not supported (write the value out)',
    ],
    [
      'for a tag',
      VALID.replace('eth0', '!!binary eth0'),
      '2:12: tags are not supported (remove the word that starts with !)',
    ],
    ['for two documents', `${VALID}---\na: 1\n`, '7:1: only one document is allowed (remove the line ---)'],
    [
      'for a key that is no word',
      `${VALID}? [a]\n: 1\n`,
      '7:3: keys must be plain words (write name: value)',
    ],
    // Keys and values
    [
      'for an unknown key',
      `${VALID}open_fro: 3s\n`,
      '7:1: key is not known: open_fro (did you mean open_for?)',
    ],
    [
      'for a key that is like none',
      VALID.replace('port: 22', 'port: 22, colour: 1'),
      '4:20: service ssh: key is not known: colour (known here: port, protocol, open_for, connections, to, open, close, open_6, close_6, timeout)',
    ],
    [
      'for an unknown key of a client',
      client('scheme: one-time, secret-file: field.key, services: [ssh]'),
      '6:3: client field: secret is missing (add secret_file, made by portknock keygen --secret --out FILE)\n6:30: client field: key is not known: secret-file (did you mean secret_file?)',
    ],
    [
      'without an interface',
      VALID.replace('interface: eth0\n', ''),
      '1:1: interface is missing (add interface: eth0, or any; or socket: 40000-40015 without pcap)',
    ],
    [
      'with interface and socket',
      `${VALID}socket: 20000\n`,
      '7:9: interface and socket are both given (keep interface to capture, socket to do without)',
    ],
    [
      'for an interface with a slash',
      VALID.replace('eth0', 'a/b'),
      '2:12: interface must be the name of a network interface, not "a/b" (as in eth0, or any)',
    ],
    [
      'for a socket of too many ports',
      VALID.replace('interface: eth0', 'socket: 20000-20256'),
      '2:9: socket must be a UDP port or a range of at most 256, not "20000-20256" (as in 40000-40015)',
    ],
    [
      'for a knock_port that is none',
      `${VALID}knock_port: 65536\n`,
      '7:13: knock_port must be a whole number from 1 to 65535, not 65536 (write a port number)',
    ],
    [
      'for a value that is nothing',
      `${VALID}state_dir:\n`,
      '7:1: state_dir must be a path, not nothing (write the path of a file)',
    ],
    [
      'for protect: maybe',
      `${VALID}protect: maybe\n`,
      '7:10: protect must be true, drop, reject or false, not "maybe" (write one of them)',
    ],
    [
      'for a duration of a day',
      `${VALID}open_for: 24h\n`,
      '7:11: open_for must be whole seconds, 1 s or more and less than a day, not "24h" (write it as 30s, 2m or 1h)',
    ],
    [
      'for a duration with an unknown unit',
      `${VALID}open_for: 2w\n`,
      '7:11: open_for must be whole seconds, 1 s or more and less than a day, not "2w" (write it as 30s, 2m or 1h)',
    ],
    [
      'for no connections',
      `${VALID}connections: 0\n`,
      '7:14: connections must be a whole number from 1 to 16, or unlimited, not 0 (write 1 unless clients need more at once)',
    ],
    // Services
    [
      'without services',
      VALID.replace(/services:\n.*\n/u, ''),
      '1:1: services is empty (add services: { ssh: { port: 22 } })',
    ],
    [
      'for services that are a list',
      VALID.replace('  ssh: {', '  - {'),
      '4:3: services must be a map of names (write one name and colon a line, indented)',
    ],
    [
      'for a service that is a number',
      VALID.replace('{ port: 22 }', '22'),
      '4:3: service ssh: must be a map of settings (write { } around them)',
    ],
    [
      'for a service without port',
      VALID.replace('port: 22', 'protocol: tcp'),
      '4:3: service ssh: port is missing (add it)',
    ],
    [
      'for a port that is text',
      VALID.replace('port: 22', 'port: "22"'),
      '4:16: service ssh: port must be a whole number from 1 to 65535, not "22" (write a port number)',
    ],
    [
      'for a protocol that is none',
      VALID.replace('port: 22', 'port: 22, protocol: sctp'),
      '4:30: service ssh: protocol must be tcp or udp, not "sctp" (write one of them)',
    ],
    [
      'for a service name in capitals',
      VALID.replaceAll('ssh', 'SSH'),
      '4:3: service SSH: name must be lower-case letters, digits and dashes, at most 32 (rename it)',
    ],
    [
      'for two services on one port',
      VALID.replace('clients:', '  two: { port: 22 }\nclients:'),
      '5:16: service two: port 22/tcp is that of service ssh (give each its own)',
    ],
    // Clients
    [
      'for a client name with a blank',
      VALID.replace('field:', '"fie ld":'),
      '6:3: client fie ld: name must be letters, digits, dot, dash, underscore and at sign, at most 64 (rename it)',
    ],
    [
      'for a client name with an escape',
      VALID.replace('field:', '"\\u001b[2J":'),
      '6:3: client \\u{1b}[2J: name must be letters, digits, dot, dash, underscore and at sign, at most 64 (rename it)',
    ],
    [
      'for a client without scheme',
      client('services: [ssh]'),
      '6:3: client field: scheme is missing (add scheme: spa, one-time, sequence, sequence-list or fwknop)',
    ],
    [
      'for a scheme that is none',
      client('scheme: 3'),
      '6:20: client field: scheme is not known: 3 (use spa, one-time, sequence, sequence-list or fwknop)',
    ],
    [
      'for an unknown service',
      VALID.replace('[ssh]', '[shh]'),
      '6:65: client field: service is not known: shh (did you mean ssh?)',
    ],
    [
      'for a client without services',
      client('scheme: one-time, secret_file: field.key'),
      '6:3: client field: services is missing (add it)',
    ],
    [
      'for an empty list of services',
      VALID.replace('[ssh]', '[]'),
      '6:64: client field: services must be a list with at least one entry (name what this client may open, as in [ssh])',
    ],
    [
      'for too many knocks',
      VALID.replace('services: [', 'knocks: 17, services: ['),
      '6:62: client field: knocks must be a whole number from 2 to 16, not 17 (write a number in that range)',
    ],
    [
      'for ports in the wrong order',
      VALID.replace('services: [', 'ports: 9-8, services: ['),
      '6:61: client field: ports must be a port or a range of ports, not "9-8" (write it as 20000-52767)',
    ],
    [
      'for a digest that is none',
      VALID.replace('services: [', 'digest: sha1, services: ['),
      '6:62: client field: digest must be sha256 or md5, not "sha1" (write one of them)',
    ],
    [
      'for a sequence of neighbours',
      client('scheme: sequence, sequence: [7000, 7001, 7002], services: [ssh]'),
      '6:40: client field: a port scan in order opens a sequence of neighbouring ports (mix the ports)',
    ],
    [
      'for a sequence that ends as another does',
      `${client('scheme: sequence, sequence: [9000, 7000, 8000], services: [ssh]').trimEnd()}
  twin: { scheme: sequence, sequence: [7000, 8000], services: [ssh] }
`,
      '7:39: client twin: sequence: it ends as that of field does, one whole in the other (change the last knocks, or the first)',
    ],
    [
      'for a sequence of one',
      client('scheme: sequence, sequence: [7000], services: [ssh]'),
      '6:40: client field: a sequence has 2 to 32 knocks, got 1 (mix the ports)',
    ],
    [
      'for a knock that is none',
      client('scheme: sequence, sequence: [7000, 70000/tcp], services: [ssh]'),
      '6:47: client field: sequence entry must be a port with its protocol, not "70000/tcp" (write it as 7000/tcp or 9000/udp)',
    ],
    [
      'for carrier tcp on a socket',
      VALID.replace('interface: eth0', 'socket: 40000').replace('services: [', 'carrier: tcp, services: ['),
      '6:63: client field: carrier tcp is not seen by a socket (use udp, or interface)',
    ],
    [
      'for ports beyond the socket',
      VALID.replace('interface: eth0', 'socket: 40000-40015').replace(
        'services: [',
        'ports: 40000-40016, services: [',
      ),
      '6:61: client field: ports 40000-40016 are not all within socket 40000-40015 (write ports: 40000-40015)',
    ],
    [
      'for a plain tcp knock on a socket',
      VALID.replace('interface: eth0', 'socket: 40000').replace(
        /scheme.*services/u,
        'scheme: sequence, sequence: [40000/udp, 7/tcp], services',
      ),
      '6:52: client field: 7/tcp is not seen by socket 40000 (use interface)',
    ],
    // Secrets
    [
      'without a secret',
      client('scheme: one-time, services: [ssh]'),
      '6:3: client field: secret is missing (add secret_file, made by portknock keygen --secret --out FILE)',
    ],
    [
      'for a secret and a secret_file',
      client(`scheme: one-time, secret: ${SECRET}, secret_file: field.key, services: [ssh]`),
      '6:38: client field: secret and secret_file are both given (keep one)',
    ],
    [
      'for a secret that others can read with the file',
      client(`scheme: one-time, secret: ${SECRET}, services: [ssh]`),
      '6:38: client field: secret stands in a file that others can read (chmod 600 /gw/portknockd.yaml, or move it into a secret_file)',
      { mode: 0o640 },
    ],
    [
      'for a secret of 15 bytes',
      client(`scheme: one-time, secret: ${Buffer.alloc(15).toString('base64')}, services: [ssh]`),
      '6:38: client field: secret must be 16 to 64 bytes, not 15 (make one with portknock keygen --secret --out FILE)',
    ],
    [
      'for a secret of 65 bytes',
      client(`scheme: one-time, secret: ${Buffer.alloc(65).toString('base64')}, services: [ssh]`),
      '6:38: client field: secret must be 16 to 64 bytes, not 65 (make one with portknock keygen --secret --out FILE)',
    ],
    [
      'for a secret without its padding',
      client(`scheme: one-time, secret: ${SECRET.replace('=', '')}, services: [ssh]`),
      '6:38: client field: secret must be base64 of 16 to 64 bytes, and is not base64 (make one with portknock keygen --secret --out FILE)',
    ],
    [
      'for a secret that is a number',
      client('scheme: one-time, secret: 1234567890123456, services: [ssh]'),
      '6:38: client field: secret must be base64 text (quote it, or keep it in a file of its own)',
    ],
    [
      'for a missing secret file',
      VALID.replace('field.key', 'gone.key'),
      '6:43: client field: secret_file cannot be read: /gw/gone.key (there is no such file: portknock keygen --secret --out /gw/gone.key)',
    ],
    [
      'for a secret file that others can read',
      VALID,
      '6:43: client field: secret_file can be read by others: /gw/field.key (chmod 600 /gw/field.key)',
      { files: { '/gw/field.key': { mode: 0o604 } } },
    ],
    [
      'for a secret file of another user',
      VALID,
      '6:43: client field: secret_file belongs to another user: /gw/field.key (chown it to the user who runs portknockd)',
      { files: { '/gw/field.key': { uid: 4321 } } },
    ],
    [
      'for a secret file that is a directory',
      VALID,
      '6:43: client field: secret_file is not a file: /gw/field.key (name a file)',
      { files: { '/gw/field.key': { regular: false } } },
    ],
    [
      'for a secret file that is short',
      VALID,
      '6:43: client field: secret_file must be 16 to 64 bytes, not 3 (make one with portknock keygen --secret --out FILE)',
      { files: { '/gw/field.key': { text: 'AAAA\n' } } },
    ],
    [
      'for an access key of 16 bytes',
      `${VALID}access_key_file: other.key\n`,
      '7:18: access_key_file must be 32 bytes, not 16 (make one with portknock keygen --secret --out FILE)',
      { files: { '/gw/other.key': { text: Buffer.alloc(16).toString('base64') } } },
    ],
    ...[
      ['nas.lan:22', '"nas.lan:22"'],
      ['10.0.0.5', '"10.0.0.5"'],
      ['10.0.0.5:0', '"10.0.0.5:0"'],
      ['10.0.0.256:22', '"10.0.0.256:22"'],
      ['127.0.0.1:22', '"127.0.0.1:22"'],
      ['"fd00::5:22"', '"fd00::5:22"'],
      ['"[fe80::5]:22"', '"[fe80::5]:22"'],
      ['"[10.0.0.5]:22"', '"[10.0.0.5]:22"'],
      ['[10.0.0.5, 22]', '["10.0.0.5",22]'],
    ].map(([written, shown]): [string, string, string] => [
      `for a service at ${written}`,
      VALID.replace('{ port: 22 }', `{ port: 22, to: ${written} }`),
      `4:24: service ssh: to must be the address and the port of a host behind the gateway, not ${shown} (write it as 10.0.0.5:22 or "[fd00::5]:22", quoted)`,
    ]),
    [
      'for a knock that would open services of two families',
      VALID.replace(
        'ssh: { port: 22 }',
        'nas: { port: 2222, to: 10.0.0.5:22 }\n  cam: { port: 554, to: "[fd00::5]:554" }\n  ssh: { port: 22 }',
      ).replace('[ssh]', '[ssh, cam, nas]'),
      '8:64: client field: services nas and cam are where only IPv4 and only IPv6 get, so that no knock opens both (make a client for each)',
    ],
    [
      'for a service behind the gateway of the command driver',
      `${VALID.replace('{ port: 22 }', '{ port: 22, to: 10.0.0.5:22 }')}firewall: { driver: command, open: [/bin/true], close: [/bin/true] }\n`,
      '4:24: service ssh: to is not of the command driver: its commands send nothing on (take it out)',
    ],
    [
      'for two clients with one secret',
      `${VALID}  two: { scheme: one-time, secret: ${SECRET}, services: [ssh] }\n`,
      '7:36: client two: secret is that of client field (give each its own: portknock keygen --secret --out FILE)',
    ],
  ];
  for (const [what, text, line, host] of rows) {
    it(what, async () => {
      assert.deepEqual(await problems(text, host), line.split('\n'));
    });
  }

  it('with all its problems at once, in their order', async () => {
    const text = `interfce: eth0
knock_port: 0
services:
  ssh: { port: 22, prot: udp }
  web: { port: 99999 }
clients:
  a: { scheme: one-time, secret_file: gone.key, knocks: 1, services: [wbe] }
  b: { scheme: knockd }
`;
    assert.deepEqual(
      (await problems(text)).map((line) => line.split(' (')[0]),
      [
        '1:1: key is not known: interfce',
        '1:1: interface is missing',
        '2:13: knock_port must be a whole number from 1 to 65535, not 0',
        '4:20: service ssh: key is not known: prot',
        '5:16: service web: port must be a whole number from 1 to 65535, not 99999',
        '7:39: client a: secret_file cannot be read: /gw/gone.key',
        '7:57: client a: knocks must be a whole number from 2 to 16, not 1',
        '7:71: client a: service is not known: wbe',
        '8:16: client b: scheme is not known: "knockd"',
      ],
    );
  });

  it('without a word of a secret', async () => {
    const secret = 'c2VjcmV0LXdpdGhvdXQtcGFkZGluZw';
    const shapes = [
      secret,
      `"${secret}\\q"`,
      `[${secret}]`,
      `{ ${secret}: ${secret} }`,
      `${secret}: x`,
      `*${secret}`,
      `!${secret} x`,
      `'${secret}`,
    ];
    for (const shape of shapes) {
      const lines = await problems(client(`scheme: one-time, services: [ssh], secret: ${shape}`));
      assert.ok(lines.length > 0, shape);
      assert.ok(!lines.join('\n').includes(secret.slice(0, 12)), lines.join('\n'));
    }
    const inFile = await problems(VALID, { files: { '/gw/field.key': { text: `${secret}!` } } });
    assert.ok(inFile.length === 1 && !inFile[0]?.includes(secret));
  });

  it('when the file is not there, with ERR_CONFIG', async () => {
    await assert.rejects(loadConfig('/nowhere/at-all.yaml'), (error) => {
      assert.ok(isKnockError(error) && error instanceof ConfigError);
      assert.equal(error.code, 'ERR_CONFIG');
      assert.equal(
        error.message,
        '/nowhere/at-all.yaml:1:1: configuration cannot be read: there is no such file (portknock init writes one)',
      );
      return true;
    });
  });
});
