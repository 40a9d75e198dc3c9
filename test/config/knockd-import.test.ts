// What the doors of a knockd.conf become, and the list, by line, of what is not as it was.

import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { importKnockd, loadKnockd, type KnockdOptions } from '../../lib/config/knockd-load.ts';
import { parseConfig } from '../../lib/config/load.ts';
import { ConfigError } from '../../lib/config/problems.ts';

const ADD = 'iptables -A INPUT -s %IP% -p tcp --dport 22 -j ACCEPT';
const REMOVE = ADD.replace('-A', '-D');
const SSH = { port: 22, open_for: '30s' };
const door = (...lines: string[]): string =>
  ['[a]', 'sequence = 7000,9000,8000', 'tcpflags = syn', ...lines].join('\n');

interface Written {
  readonly services: unknown;
  readonly clients: unknown;
}

describe('an imported knockd.conf', () => {
  let folder: string;
  let file: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'portknock-import-'));
    file = join(folder, 'knockd.conf');
  });

  after(() => rm(folder, { recursive: true }));

  const imported = async (text: string, options: KnockdOptions = {}) => {
    await writeFile(file, text);
    const { text: yaml, notes } = await importKnockd(file, options);
    const { services, clients } = parse(yaml) as Written;
    return { yaml, services, clients, notes: notes.map(({ line, kind }) => `${line} ${kind}`), all: notes };
  };
  const client = (more: object = {}) => ({
    a: {
      scheme: 'sequence',
      sequence: ['7000/tcp', '9000/tcp', '8000/tcp'],
      sequence_timeout: '25s',
      ...more,
    },
  });
  const programs = (more: object) => ({
    a: { close: ['true'], open_for: '1s', connections: 'unlimited', timeout: '60s', ...more },
  });

  const rows: readonly [what: string, text: string, services: unknown, clients: unknown, notes: string][] = [
    [
      'a rule that stays',
      door(`command = ${ADD}`),
      { ssh: SSH },
      client({ family: 4, services: ['ssh'] }),
      '4 stricter,4 lost',
    ],
    [
      'a rule that is taken back',
      door(`start_command = ${ADD}`, `stop_command = ${REMOVE}`),
      { ssh: { port: 22, open_for: '10s' } },
      client({ family: 4, services: ['ssh'] }),
      '4 stricter,4 lost',
    ],
    [
      'rules for both families, and times',
      door(
        ...[`start_command = ${ADD}`, `start_command_6 = ${ADD.replace('ip', 'ip6')}`],
        ...[`stop_command = ${REMOVE}`, `stop_command_6 = ${REMOVE.replace('ip', 'ip6')}`],
        ...['cmd_timeout = 7', 'seq_timeout = 3'],
      ),
      { ssh: { port: 22, open_for: '7s' } },
      client({ sequence_timeout: '3s', services: ['ssh'] }),
      '4 stricter',
    ],
    [
      'a rule for IPv6 alone',
      door(`start_command_6 = ${ADD.replace('ip', 'ip6')}`),
      { ssh: SSH },
      client({ family: 6, services: ['ssh'] }),
      '1 stricter',
    ],
    [
      'nothing for IPv6',
      door('command = ufw allow from %IP% to any port 8443 proto tcp', 'command_6 ='),
      { 'tcp-8443': { port: 8443, open_for: '30s' } },
      client({ family: 4, services: ['tcp-8443'] }),
      '4 stricter',
    ],
    [
      'several ports',
      door('command = ufw allow from %IP% to any port 22,1194 proto udp'),
      {
        'udp-22': { port: 22, protocol: 'udp', open_for: '30s' },
        'udp-1194': { port: 1194, protocol: 'udp', open_for: '30s' },
      },
      client({ services: ['udp-22', 'udp-1194'] }),
      '4 stricter',
    ],
    [
      'a program',
      door('command = /bin/x "a b" %IP%'),
      programs({ open: ['/bin/x', 'a b', '{ip}'] }).a && {
        a: programs({ open: ['/bin/x', 'a b', '{ip}'] }).a,
      },
      client({ services: ['a'] }),
      '4 lost',
    ],
    [
      'programs for each family that undo what they did',
      door(
        ...['start_command = /x %IP%', 'stop_command = /y %IP%', 'cmd_timeout = 4'],
        ...['start_command_6 = /x6 %IP%', 'stop_command_6 = /y6'],
      ),
      programs({
        ...{ open: ['/x', '{ip}'], close: ['/y', '{ip}'], open_6: ['/x6', '{ip}'], close_6: ['/y6'] },
        open_for: '4s',
      }),
      client({ services: ['a'] }),
      '4 lost',
    ],
    ['a closing door', door(`command = ${REMOVE}`), {}, {}, '1 lost'],
    ['a door that does nothing', door(), {}, {}, '1 lost'],
    ['a command that needs a shell', door('command = a | b'), {}, {}, '4 refused'],
    ['one port', '[a]\nsequence = 7000\ncommand = /x\n', {}, {}, '2 refused'],
    ['neighbouring ports', '[a]\nsequence = 70,71,72\ncommand = /x\n', {}, {}, '2 refused'],
    ['port 0', '[a]\nsequence = 70,x,72\ncommand = /x\n', {}, {}, '2 warning,2 refused'],
    ['no time', door('command = /x', 'seq_timeout = 0'), {}, {}, '5 warning,5 refused'],
    [
      'another host as target',
      door('command = /x', 'target = 192.0.2.1'),
      programs({ open: ['/x'] }),
      client({ services: ['a'] }),
      '4 lost,5 lost',
    ],
    [
      'times that are longer than any here',
      door('start_command = /x', 'stop_command = /y', 'seq_timeout = 301', 'cmd_timeout = 86400'),
      programs({ open: ['/x'], close: ['/y'], open_for: '86399s' }),
      client({ sequence_timeout: '300s', services: ['a'] }),
      '4 lost,6 stricter,7 stricter',
    ],
    [
      'a name that no client may have',
      door('command = /x').replace('[a]', '[ö/ SSH]'),
      { 'door-ssh': programs({ open: ['/x'] }).a },
      { SSH: client({ services: ['door-ssh'] }).a },
      '1 lost,4 lost',
    ],
  ];
  for (const [what, text, services, clients, notes] of rows) {
    it(`has the service and the client of ${what}`, async () => {
      const found = await imported(text);
      const isEmpty = Object.keys(found.services as object).length === 0;
      assert.deepEqual(found.services, services);
      assert.deepEqual([found.clients, found.notes.join(',')], [clients, notes]);
      // What was written is a configuration; without any door it says that there is nothing to open.
      const problems = isEmpty ? /services is empty/u : /^$/u;
      const said = await parseConfig(found.yaml, { path: file }).then(
        () => '',
        (error: unknown) => String(error),
      );
      assert.match(said, problems);
    });
  }

  const flags: readonly [tcpflags: string | null, note: string | null][] = [
    ['syn', null],
    ['syn,!ack', null],
    ['!fin,syn,!rst', null],
    ['syn,syn', null],
    [null, 'stricter'],
    ['syn,ack', 'lost'],
    ['fin,!ack', 'lost'],
    ['!ack', 'lost'],
    ['syn,!psh', 'lost'],
    ['!syn', 'lost'],
  ];
  for (const [tcpflags, note] of flags) {
    it(`says what becomes of tcpflags: ${tcpflags ?? 'none'}`, async () => {
      const line = tcpflags === null ? '# none' : `tcpflags = ${tcpflags}`;
      const { notes } = await imported(`[a]\nsequence = 7000,9000,8000\n${line}\ncommand = /x\n`);
      const at = tcpflags === null ? 2 : 3;
      assert.deepEqual(notes, [...(note === null ? [] : [`${at} ${note}`]), '4 lost']);
      const udp = await imported(`[a]\nsequence = 7:udp,9:udp,8:udp\n${line}\ncommand = /x\n`);
      assert.deepEqual(udp.notes, ['4 lost']);
    });
  }

  it('has one service for doors of one port, open for the shortest time', async () => {
    const text = [
      ...[door(`start_command = ${ADD}`, `stop_command = ${REMOVE}`, 'cmd_timeout = 9'), ''],
      ...['[b]', 'sequence = 1,3,2', 'tcpflags = syn', `start_command = ${ADD}`, `stop_command = ${REMOVE}`],
      ...['cmd_timeout = 5', '[a]', 'sequence = 4,6,5', 'tcpflags = syn', `command = ${ADD}`],
    ];
    const { services, clients, notes } = await imported(text.join('\n'));
    assert.deepEqual(services, { ssh: { port: 22, open_for: '5s' } });
    assert.deepEqual(Object.keys(clients as object), ['a', 'b', 'a-2']);
    assert.ok(notes.includes('13 stricter') && notes.includes('14 stricter'), notes.join());
  });

  it('refuses a door that ends as another one does', async () => {
    const text = `${door('command = /x')}\n[b]\nsequence = 1,7000,9000,8000\ntcpflags = syn\ncommand = /y\n`;
    const { clients, notes } = await imported(text);
    assert.deepEqual([Object.keys(clients as object), notes], [['a'], ['4 lost', '6 refused']]);
  });

  it('is what runs, with problems and warnings in the lines of the file', async () => {
    await writeFile(file, `[options]\ninterface = lo\n${door(`command = ${ADD}`)}\n`);
    const config = await loadKnockd(file, { stateDir: '/s' });
    assert.deepEqual(config.source, { kind: 'interface', name: 'lo' });
    assert.deepEqual([config.file, config.stateDir, config.protect], [file, '/s', false]);
    assert.deepEqual(config.firewall, { driver: 'iptables' });
    assert.deepEqual(
      config.warnings.map(({ file: at, line }) => [at === file, line]),
      [
        [true, 3],
        [true, 6],
        [true, 6],
      ],
    );
    assert.match(config.warnings[0]?.message ?? '', /client a: sequence has 50 bits/u);
    assert.deepEqual((await loadKnockd(file, { interface: 'eth7' })).source, {
      kind: 'interface',
      name: 'eth7',
    });
  });

  const faults: readonly [what: string, text: string, options: KnockdOptions, problems: RegExp][] = [
    [
      'a file that knockd refuses',
      '[a]\nfoo = 1\n',
      {},
      /:1:1: section 'a' has .*\n.*:2:1: key is not known: foo/u,
    ],
    ['a door that is refused', door('command = a | b'), {}, /:4:1: door a: command needs a shell for '\|'/u],
    [
      'an interface that is none',
      `[options]\ninterface = /dev/x\n${door('command = /x')}`,
      {},
      /:2:1: interface must be/u,
    ],
    [
      'a file of sequences that is not there',
      '[a]\none_time_sequences = none\ncommand = /x\n',
      {},
      /:1:1: client a: sequences_file cannot be read/u,
    ],
    [
      'a quirk when strict',
      '[a]\nsequence = 7,+9,8\ncommand = /x\n',
      { strict: true },
      /:2:1: sequence entry '\+9'/u,
    ],
    ['no door', '[options]\n', {}, /:1:1: services is empty/u],
  ];
  for (const [what, text, options, problems] of faults) {
    it(`does not run with ${what}`, async () => {
      await writeFile(file, text);
      await assert.rejects(loadKnockd(file, options), (error: unknown) => {
        assert.ok(error instanceof ConfigError);
        assert.match(error.message, problems);
        return true;
      });
    });
  }

  it('gives a command that needs a shell one when that is allowed', async () => {
    const { services, notes } = await imported(door('command = a | b %IP%'), { allowShell: true });
    assert.deepEqual(services, programs({ open: ['/bin/sh', '-c', 'a | b {ip}'] }));
    assert.deepEqual(notes, ['4 lost']);
  });

  it('has comments that no name or command of the file breaks out of', async () => {
    const { yaml, clients } = await imported(
      door('command = /x\u{85}services: no').replace('[a]', '[a\u{2028}x: y]'),
    );
    assert.deepEqual(Object.keys(clients as object), ['a-x-y']);
    assert.ok(yaml.split('\n').every((line) => !line.includes('\u{2028}')));
  });
});
