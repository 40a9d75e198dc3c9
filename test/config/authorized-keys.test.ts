// Clients from authorized_keys files: what a line means, and for each way to get one wrong what is said of it.

import assert from 'node:assert/strict';
import { KEY, OTHER_KEY, parsed, problems, publicKey, RSA_KEY, SPA, type Host } from './support.ts';

const PATH = '/gw/authorized_keys';
const SERVICES = 'portknock-services="ssh"';
const CONFIG = SPA.replace('  ssh: { port: 22 }', '  ssh: { port: 22 }\n  admin: { port: 8443 }').replace(
  /clients:[^]*/u,
  'authorized_keys: authorized_keys\n',
);

/** A host with this file, and perhaps others. */
function host(text: string, more: Host['files'] = {}): Host {
  return { files: { [PATH]: { text }, ...more } };
}

/** What is said of a line, without the file's name. */
async function said(line: string, text = CONFIG): Promise<readonly string[]> {
  return (await problems(text, host(line))).map((each) => each.replace(`${PATH}:`, ''));
}

describe('a file of authorized keys', () => {
  it('makes a client of every line, with what its options say', async () => {
    const { clients, warnings } = await parsed(
      CONFIG,
      host(`# of the team

  # another comment
${SERVICES} ${KEY} alice@laptop
restrict,PortKnock-Services="ssh,admin,ssh",command="echo \\"a, b\\" ,x",portknock-bind="exact"\t${OTHER_KEY}\tbob\r
   portknock-services="admin",expiry-time="20301231Z",portknock-bind="prefix" ${publicKey(3)} carol`),
    );
    const rest = { scheme: 'spa', bits: 128, widestPrefix: [24, 56] };
    assert.deepEqual(clients, [
      {
        ...rest,
        name: 'alice@laptop',
        services: ['ssh'],
        key: { publicKey: `${KEY} alice@laptop` },
        bind: 'observed',
      },
      {
        ...rest,
        name: 'bob',
        services: ['ssh', 'admin'],
        key: { publicKey: `${OTHER_KEY}\tbob` },
        bind: 'exact',
      },
      {
        ...rest,
        name: 'carol',
        services: ['admin'],
        key: { publicKey: `${publicKey(3)} carol` },
        bind: 'prefix',
        expiresAt: Date.UTC(2030, 11, 31),
      },
    ]);
    assert.deepEqual(warnings, []);
  });

  it('may be one of several, beside the clients of the configuration', async () => {
    const text = SPA.replace('clients:', 'authorized_keys: [authorized_keys, /etc/more]\nclients:');
    const files = { '/etc/more': { text: `${SERVICES} ${publicKey(9)} nine\n`, mode: 0o644 } };
    const { clients } = await parsed(text, host(`${SERVICES} ${OTHER_KEY} bob\n`, files));
    assert.deepEqual(
      clients.map(({ name }) => name),
      ['alice', 'bob', 'nine'],
    );
  });

  it('may have no lines yet, with a warning', async () => {
    const { clients, warnings } = await parsed(CONFIG, host('\n# nobody\n'));
    assert.deepEqual(clients, []);
    assert.match(warnings.map(({ message }) => message).join('\n'), /^clients is empty: nobody can knock/u);
    assert.deepEqual((await parsed(CONFIG, host(`${SERVICES} ${KEY} a`))).warnings, []);
  });

  it('is read with its 10,000 clients in a moment', async () => {
    const option = 'command="/usr/bin/true",no-pty,portknock-services="ssh,admin"';
    const lines = Array.from({ length: 10_000 }, (_, i) => `${option} ${publicKey(i)} user${i}@host\n`);
    const { clients } = await parsed(CONFIG, host(lines.join('')));
    assert.equal(clients.length, 10_000);
  });

  it('passes over keys that cannot sign knocks, with a warning', async () => {
    const lines = [
      `${RSA_KEY} rsa`,
      `from="10.0.0.0/8",no-such-option ${RSA_KEY} other`,
      `sk-ssh-ed25519@openssh.com ${typed('sk-ssh-ed25519@openssh.com')} token`,
      `  ssh-ed25519-cert-v01@openssh.com ${typed('ssh-ed25519-cert-v01@openssh.com')} cert`,
      `${SERVICES} ${KEY} alice`,
    ];
    const { clients, warnings } = await parsed(CONFIG, host(lines.join('\n')));
    assert.deepEqual(
      clients.map(({ name }) => name),
      ['alice'],
    );
    const skipped = (type: string): string =>
      `key of type ${type} is skipped: only ssh-ed25519 keys can sign knocks`;
    assert.deepEqual(warnings, [
      { file: PATH, line: 1, column: 1, message: skipped('ssh-rsa') },
      { file: PATH, line: 2, column: 34, message: skipped('ssh-rsa') },
      { file: PATH, line: 3, column: 1, message: skipped('sk-ssh-ed25519@openssh.com') },
      { file: PATH, line: 4, column: 3, message: skipped('ssh-ed25519-cert-v01@openssh.com') },
    ]);
  });

  const harmless = [
    ...['restrict', 'pty', 'no-pty', 'port-forwarding', 'no-port-forwarding', 'agent-forwarding'],
    ...['no-agent-forwarding', 'X11-forwarding', 'no-X11-forwarding', 'user-rc', 'no-user-rc'],
    ...['no-touch-required', 'verify-required', 'command="rsync --server"', 'environment="A=b"'],
    ...['permitopen="host:25"', 'permitlisten="8080"', 'tunnel="0"', 'principals="a,b"'],
    ...['command=""', 'command="a\\b"', 'command="\\\\\\""', 'command="#"'],
  ];
  for (const option of harmless) {
    it(`leaves ${option} to sshd`, async () => {
      const { clients } = await parsed(CONFIG, host(`${option},${SERVICES} ${KEY} alice`));
      assert.equal(clients.length, 1);
    });
  }
});

describe('a line of authorized keys is refused', () => {
  const before = 'portknock-services="ssh",';
  const rows: readonly [what: string, line: string, ...lines: string[]][] = [
    // Its form
    [
      'that is no key',
      'hello',
      '1:1: option is not known: hello (remove it: what may be a limit must not be passed over)',
      '1:6: comma or blank must follow, not the end of the line (a line is options, a key, and the name of the client)',
    ],
    [
      'with options and nothing else',
      SERVICES,
      '1:25: comma or blank must follow, not the end of the line (a line is options, a key, and the name of the client)',
    ],
    [
      'whose options are not separated from the key',
      `${SERVICES}${KEY} alice`,
      "1:25: comma or blank must follow, not 'ssh-ed25519 AAAAC3Nz...' (a line is options, a key, and the name of the client)",
    ],
    [
      'with a blank after a comma',
      `restrict, ${SERVICES} ${KEY} alice`,
      "1:10: option must begin here, not ' portknock-services=...' (a line is options, a key, and the name of the client)",
    ],
    [
      'with a comma too many',
      `restrict,,${SERVICES} ${KEY} alice`,
      "1:10: option must begin here, not ',portknock-services=...' (a line is options, a key, and the name of the client)",
    ],
    [
      'with a quote that is not closed',
      `portknock-services="ssh ${KEY} alice`,
      '1:1: option portknock-services must have its value in quotes (as in x="y")',
    ],
    [
      'whose quote is closed only after a backslash',
      `command="x\\" ${KEY} alice`,
      '1:1: option command must have its value in quotes (as in x="y")',
    ],
    [
      'with a value in no quotes',
      `portknock-services=ssh ${KEY} alice`,
      '1:1: option portknock-services must have its value in quotes (as in x="y")',
    ],
    [
      'with text after a quote',
      `portknock-services="ssh"admin ${KEY} alice`,
      "1:25: comma or blank must follow, not 'admin ssh-ed25519 AA...' (a line is options, a key, and the name of the client)",
    ],
    [
      'that is too long',
      `${SERVICES} ${KEY} ${'a'.repeat(16_300)}`,
      '1:1: line must have at most 16384 characters, not 16406 (shorten it)',
    ],
    // The key
    [
      'with a key that is cut off',
      `${SERVICES} ${KEY.slice(0, -4)} alice`,
      "1:26: key must be an OpenSSH public key (paste the line of the client's .pub file)",
    ],
    [
      'with a key that is cut off and no options',
      `${KEY.slice(0, -4)} alice`,
      "1:1: key must be an OpenSSH public key (paste the line of the client's .pub file)",
    ],
    [
      'with a key of another type than it says',
      `${SERVICES} ssh-rsa ${KEY.split(' ')[1] ?? ''} alice`,
      "1:26: key must be an OpenSSH public key (paste the line of the client's .pub file)",
    ],
    [
      'with a key that an earlier line has',
      `${SERVICES} ${KEY} alice\n${SERVICES} ${KEY} bob`,
      '2:26: client bob: key is that of client alice (one client, one key: remove one of them)',
    ],
    // The name
    [
      'without a name',
      `${SERVICES} ${KEY}`,
      "1:106: client's name is missing at the end of the line (add it)",
    ],
    [
      'with a name of two words',
      `${SERVICES} ${KEY} alice's laptop`,
      "1:107: client's name must be letters, digits, dot, dash, underscore and at sign, at most 64, not 'alice's laptop' (change the end of the line)",
    ],
    [
      'with a name that begins with a dot',
      `${SERVICES} ${KEY} ../../etc/passwd`,
      "1:107: client's name must be letters, digits, dot, dash, underscore and at sign, at most 64, not '../../etc/passwd' (change the end of the line)",
    ],
    [
      'with a name that would change a terminal',
      `${SERVICES} ${KEY} \u001b]0;root\u0007`,
      "1:107: client's name must be letters, digits, dot, dash, underscore and at sign, at most 64, not '\\u{1b}]0;root\\u{7}' (change the end of the line)",
    ],
    [
      'with a name that an earlier line has',
      `${SERVICES} ${KEY} alice\n${SERVICES} ${OTHER_KEY} alice`,
      '2:107: client alice: name is that of another client (give each its own, at the end of the line)',
    ],
    // What it may open
    [
      'without services',
      `${KEY} alice`,
      '1:1: client alice: portknock-services is missing (put portknock-services="ssh,admin" and a blank before the key)',
    ],
    [
      'with options but no services',
      `no-pty ${KEY} alice`,
      '1:8: client alice: portknock-services is missing (put portknock-services="ssh,admin" and a blank before the key)',
    ],
    [
      'with empty services',
      `portknock-services="" ${KEY} alice`,
      '1:1: client alice: portknock-services is empty (name what this client may open, as in "ssh,admin")',
    ],
    [
      'with a service that is not known',
      `no-pty,portknock-services="admim,ssh" ${KEY} alice`,
      '1:8: client alice: service is not known: admim (did you mean admin?)',
    ],
    [
      'with a blank between services',
      `portknock-services="ssh, admin" ${KEY} alice`,
      '1:1: client alice: service is not known:  admin (did you mean admin?)',
    ],
    [
      'with services that are not named',
      `portknock-services ${KEY} alice`,
      '1:1: option portknock-services must have a value (as in portknock-services="...")',
    ],
    [
      'with services named twice',
      `${before}${SERVICES} ${KEY} alice`,
      '1:26: option portknock-services is given twice (keep one)',
    ],
    // The other options
    [
      'with a bind that is none',
      `${before}portknock-bind="Exact" ${KEY} alice`,
      '1:26: client alice: portknock-bind must be observed, exact or prefix, not "Exact" (write one of them)',
    ],
    [
      'with an expiry that is none',
      `${before}expiry-time="tomorrow" ${KEY} alice`,
      '1:26: client alice: expiry-time must be a date that exists, perhaps with a time, not "tomorrow" (write it as 20301231 or 203012312359, with Z for UTC)',
    ],
    [
      'with from, which would not be obeyed',
      `${before}from="10.0.0.0/8" ${KEY} alice`,
      '1:26: option from is not supported, and a limit must not be passed over (remove it, or this key)',
    ],
    [
      'with FROM',
      `FROM="10.0.0.0/8",${SERVICES} ${KEY} alice`,
      '1:1: option from is not supported, and a limit must not be passed over (remove it, or this key)',
    ],
    [
      'with cert-authority',
      `cert-authority,${SERVICES} ${KEY} alice`,
      '1:1: option cert-authority is not supported: certificates cannot sign knocks (remove it)',
    ],
    [
      'with an option that is not known',
      `${before}maximum-uses="1" ${KEY} alice`,
      '1:26: option is not known: maximum-uses (remove it: what may be a limit must not be passed over)',
    ],
    [
      'with an option that is nearly known',
      `portknock-service="ssh" ${KEY} alice`,
      '1:1: option is not known: portknock-service (did you mean portknock-services?)',
    ],
    [
      'with an option like a property of every object',
      `constructor,${SERVICES} ${KEY} alice`,
      '1:1: option is not known: constructor (remove it: what may be a limit must not be passed over)',
    ],
    [
      'with a value where there is none',
      `${before}restrict="no" ${KEY} alice`,
      '1:26: option restrict takes no value (remove it)',
    ],
    [
      'with no value where there must be one',
      `${before}command ${KEY} alice`,
      '1:26: option command must have a value (as in command="...")',
    ],
    [
      'with control characters',
      `\u0000\u001b[2J ${KEY} alice`,
      "1:1: option must begin here, not '\\u{0}\\u{1b}[2J ssh-ed25519 AA...' (a line is options, a key, and the name of the client)",
    ],
  ];
  for (const [what, line, ...lines] of rows) {
    it(what, async () => {
      assert.deepEqual(await said(line), lines);
    });
  }

  it('with all its problems, and those of other lines, in their order after those of the configuration', async () => {
    const text = CONFIG.replace('interface: eth0', 'interface: a/b');
    const lines = await said(`no-ptty,from="x" ${KEY} alice\n\n portknock-bind="x" ${OTHER_KEY} b b`, text);
    assert.deepEqual(
      lines.map((line) => line.split(' (')[0]),
      [
        '2:12: interface must be the name of a network interface, not "a/b"',
        '1:1: option is not known: no-ptty',
        '1:9: option from is not supported, and a limit must not be passed over',
        '3:2: portknock-bind must be observed, exact or prefix, not "x"',
        '3:21: portknock-services is missing',
        "3:102: client's name must be letters, digits, dot, dash, underscore and at sign, at most 64, not 'b b'",
      ],
    );
  });

  it('with the name, or the key, of a client of the configuration', async () => {
    const text = SPA.replace('clients:', 'authorized_keys: authorized_keys\nclients:');
    assert.deepEqual(await said(`${SERVICES} ${OTHER_KEY} alice\n${SERVICES} ${KEY} bob`, text), [
      '1:107: client alice: name is that of another client (give each its own, at the end of the line)',
      '2:26: client bob: key is that of client alice (one client, one key: remove one of them)',
    ]);
  });

  it('a hundred times and no more', async () => {
    const lines = await said('x y\n'.repeat(100_000));
    assert.ok(lines.length < 300, String(lines.length));
    assert.match(lines.at(-1) ?? '', /^\d+:1: the rest was not read, after so many problems/u);
  });
});

describe('a file of authorized keys is refused', () => {
  const line = `${SERVICES} ${KEY} alice\n`;
  const rows: readonly [what: string, lines: string, file: NonNullable<Host['files']>[string]][] = [
    ...[0o664, 0o646, 0o620, 0o602, 0o777].map((mode): [string, string, { text: string; mode: number }] => [
      `when its mode is ${mode.toString(8)}`,
      `authorized_keys can be changed by others: ${PATH} (chmod go-w ${PATH})`,
      { text: line, mode },
    ]),
    [
      'when it is that of another user',
      `authorized_keys belongs to another user: ${PATH} (chown it to the user who runs portknockd)`,
      { text: line, uid: 4321 },
    ],
    [
      'when it is a directory',
      `authorized_keys is not a file: ${PATH} (name a file)`,
      { regular: false, text: '' },
    ],
    [
      'when it is too large',
      `authorized_keys is too large: ${PATH} (is it the right file?)`,
      { text: line, whole: false },
    ],
    [
      'when it holds a private key, without a word of it',
      `authorized_keys has a private key in it: ${PATH} (put the line of the .pub file there, and the private key back to its owner)`,
      { text: `# mine\n-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE\n` },
    ],
  ];
  for (const [what, message, file] of rows) {
    it(what, async () => {
      assert.deepEqual(await problems(CONFIG, { files: { [PATH]: file } }), [`7:18: ${message}`]);
    });
  }

  it('when it is not there', async () => {
    assert.deepEqual(
      await problems(CONFIG.replace('authorized_keys\n', '[authorized_keys, gone]\n'), host(line)),
      ['7:36: authorized_keys cannot be read: /gw/gone (there is no such file: check the path)'],
    );
  });

  it('not when others can read it', async () => {
    assert.deepEqual(await problems(CONFIG, { files: { [PATH]: { text: line, mode: 0o644 } } }), []);
  });

  it('when there is no access key for its clients', async () => {
    assert.deepEqual(
      (await problems(CONFIG.replace('access_key_file: gateway.key\n', ''), host(line))).map(
        (each) => each.split(':')[2],
      ),
      [' access_key_file is missing'],
    );
  });
});

/** The blob of a key of this type, of which nothing more is read. */
function typed(type: string): string {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(type.length);
  return Buffer.concat([length, Buffer.from(type), Buffer.alloc(40)]).toString('base64');
}
