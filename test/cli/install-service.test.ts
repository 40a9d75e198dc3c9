// install-service: what it writes, what systemd's own checks say of it, and what it does not overwrite.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { commandLine, quoted } from '../../cli/service/escape.ts';
import { unitText, type Service } from '../../cli/service/unit.ts';
import { Place } from './support.ts';

const UNIT = 'r/etc/systemd/system/portknockd.service';
const PLAIN: Service = {
  node: '/usr/bin/node',
  programs: '/usr/lib/node_modules/portknock/dist',
  config: '/etc/portknock/portknockd.yaml',
  stateDir: '/var/lib/portknock',
  user: 'portknock',
  internet: false,
  legacy: false,
  home: false,
  writes: [],
};

describe('install-service', function () {
  this.timeout(120_000);
  let place: Place;

  before(async () => {
    place = await Place.make();
    await place.run('portknock init --dir gw --gateway gw.example --interface lo');
  });

  after(() => place.remove());

  const install = (more = '') => place.run(`portknock install-service --root r ${more}`.trim());
  const config = async (name: string, change: (text: string) => string): Promise<string> => {
    const text = await readFile(place.path('gw/portknockd.yaml'), 'utf8');
    await mkdir(place.path('r/gw'), { recursive: true });
    const key = await readFile(place.path('gw/gateway.key'));
    await writeFile(place.path('r/gw/gateway.key'), key, { mode: 0o600 });
    await writeFile(place.path('r/gw', name), change(text), { mode: 0o600 });
    return `--config /gw/${name}`;
  };
  const systemd = (program: string, args: readonly string[]) => {
    const { status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
    assert.equal(status, 0, `${program}: ${stderr}${stdout}`);
    return stdout;
  };
  const unit = (): Promise<string> => readFile(place.path(UNIT), 'utf8');

  it('writes a service, its account and its state, says what to type, and is done when asked again', async () => {
    const files = [UNIT, 'r/etc/sysusers.d/portknock.conf', 'r/etc/tmpfiles.d/portknock.conf'];
    const { code, out, err } = await install();
    assert.deepEqual([code, out], [0, files.map((file) => `${place.path(file)}\n`).join('')], err);
    const commands = ['systemd-sysusers portknock.conf', 'systemd-tmpfiles --create portknock.conf'];
    const start = ['systemctl daemon-reload', 'systemctl enable --now portknockd'];
    assert.match(err, new RegExp(`next:\\n  ${[...commands, ...start].join('\\n  ')}\\n$`, 'u'));
    for (const file of files) {
      assert.equal((await stat(place.path(file))).mode & 0o777, 0o644);
      assert.match(await readFile(place.path(file), 'utf8'), /^# Written by portknock install-service /u);
    }
    const again = await install();
    assert.deepEqual([again.code, again.out], [0, '']);
    assert.match(again.err, /everything is there already/u);
  });

  it('writes a unit that systemd takes without a word and finds less exposed than 2.0', async () => {
    const path = place.path('checked/portknockd.service');
    await mkdir(dirname(path));
    const text = unitText({ ...PLAIN, node: process.execPath, programs: place.path() });
    await writeFile(path, text);
    systemd('systemd-analyze', ['security', '--offline=true', '--threshold=19', '--no-pager', path]);
    const { stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', path], { encoding: 'utf8' });
    assert.equal(stderr, '');
  });

  it('writes an account and a state directory that systemd can make', async () => {
    await install();
    const root = place.path('r');
    await mkdir(`${root}/var/lib/portknock`, { recursive: true });
    await writeFile(`${root}/var/lib/portknock/replay`, '');
    await writeFile(`${root}/etc/passwd`, 'root:x:0:0:root:/root:/bin/sh\n');
    await writeFile(`${root}/etc/group`, 'root:x:0:\n');
    systemd('systemd-sysusers', [`--root=${root}`, 'portknock.conf']);
    const passwd = await readFile(`${root}/etc/passwd`, 'utf8');
    const [, uid] = /^portknock:x:(\d+):\d+:[^:]*:\/:\/usr\/sbin\/nologin$/mu.exec(passwd) ?? [];
    assert.ok(uid !== undefined, passwd);
    if (process.getuid?.() !== 0) return;
    systemd('systemd-tmpfiles', ['--create', `--root=${root}`, 'portknock.conf']);
    const folder = await stat(`${root}/var/lib/portknock`);
    assert.deepEqual([folder.uid, folder.mode & 0o777], [Number(uid), 0o700]);
    assert.equal((await stat(`${root}/var/lib/portknock/replay`)).uid, Number(uid));
  });

  it('prints the files and writes nothing when asked to', async () => {
    const { code, out } = await place.run('portknock install-service --root dry --dry-run');
    assert.equal(code, 0);
    assert.match(out, /^==> .*portknockd\.service\n# Written by.*\n\[Unit\]\n/u);
    await assert.rejects(stat(place.path('dry')));
  });

  it('leaves alone what it has not written, and what was changed, unless forced', async () => {
    await install();
    const ours = await unit();
    const tables: readonly [text: string, message: RegExp][] = [
      [
        '[Service]\nExecStart=/bin/true\n',
        /file is not of portknock install-service: .*portknockd\.service/u,
      ],
      [ours.replace('RestartSec=5s', 'RestartSec=9s'), /file was changed by hand: .*portknockd\.service/u],
    ];
    for (const [text, message] of tables) {
      await writeFile(place.path(UNIT), text);
      const { code, err } = await install();
      assert.equal(code, 1);
      assert.match(err, message);
      assert.equal(await unit(), text);
    }
    assert.equal((await install('--force')).code, 0);
    assert.equal(await unit(), ours);
  });

  it('replaces what an earlier version has written', async () => {
    await install();
    const ours = await unit();
    await writeFile(place.path(UNIT), ours.replace(/install-service \S+/u, 'install-service 0.0.9'));
    assert.equal((await install()).code, 0);
    assert.equal(await unit(), ours);
  });

  it('gives a service the sockets, files and rights that its configuration needs', async () => {
    const tables: readonly [name: string, change: (text: string) => string, line: RegExp][] = [
      ['plain', (text) => text, /^RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_PACKET$/mu],
      [
        'bound',
        (text) => text.replace('interface: lo', 'socket: 62201'),
        /^RestrictAddressFamilies=.* AF_INET AF_INET6$/mu,
      ],
      ['legacy', (text) => `${text}firewall_backend: legacy\n`, /^ReadWritePaths=.*-\/run\/xtables\.lock/mu],
      [
        'state',
        (text) => text.replace(/state_dir: \S+/u, 'state_dir: /srv/a b'),
        /^ReadWritePaths="-\/srv\/a b"$/mu,
      ],
      ['root', (text) => text, /^ExecStart=\//mu],
      ['account', (text) => text.replace('user: root', 'user: daemon'), /^User=daemon\nExecStart=!\//mu],
    ];
    for (const [name, change, line] of tables) {
      const { code, err } = await install(await config(`${name}.yaml`, change));
      assert.equal(code, 0, `${name}: ${err}`);
      assert.match(await unit(), line, name);
    }
    assert.match(await readFile(place.path('r/etc/sysusers.d/portknock.conf'), 'utf8'), /^u daemon - /mu);
  });

  it('says what is wrong and writes nothing', async () => {
    const wrong = await config('wrong.yaml', (text) => `${text}nonsense: 1\n`);
    const other = await config('other.yaml', (text) => text.replace('user: root', 'user: daemon'));
    const tables: readonly [line: string, code: number, message: RegExp][] = [
      [`portknock install-service --root r ${wrong}`, 2, /wrong\.yaml:\d+:1: .*nonsense/u],
      [
        'portknock install-service --root n --user Nobody!',
        2,
        /--user must be the name of an account, not 'Nobody!'/u,
      ],
      [`portknock install-service --root r ${other} --user me`, 2, /configuration says daemon/u],
      ['portknock install-service --config nowhere.yaml', 2, /there is no such file/u],
    ];
    for (const [line, code, message] of tables) {
      const ran = await place.run(line);
      assert.equal(ran.code, code, line);
      assert.match(ran.err, message);
    }
    await mkdir(place.path('shut'));
    await writeFile(place.path('shut/etc'), '');
    const ran = await place.run('portknock install-service --root shut');
    assert.equal(ran.code, 1);
    assert.match(ran.err, /^portknock: file cannot be written: /mu);
  });

  it('lets a service see a home that it is in, and no other', () => {
    const text = unitText({ ...PLAIN, home: true });
    assert.match(text, /^ProtectHome=read-only$/mu);
    assert.match(unitText(PLAIN), /^ProtectHome=yes$/mu);
  });
});

describe('words in systemd files', () => {
  const table: readonly [word: string, written: string][] = [
    ['/usr/bin/node', '/usr/bin/node'],
    ['/opt/my node/bin', '"/opt/my node/bin"'],
    ['/opt/100%', '/opt/100%%'],
    ['/a\\b"c', '"/a\\\\b\\"c"'],
    ["/it's", '"/it\'s"'],
    ['/a;b', '"/a;b"'],
    ['', '""'],
  ];
  for (const [word, written] of table) {
    it(`are written so that they mean themselves: ${word}`, () => {
      assert.equal(quoted(word), written);
    });
  }

  it('refuse what no line can hold', () => {
    assert.throws(() => commandLine(['/a"b']), /systemd starts no program with quotes/u);
    assert.throws(() => quoted('/a\nExecStart=/bin/sh'), /path has control characters: '\/a\\/u);
  });

  it('are taken back by systemd as they were meant', async () => {
    const place = await Place.make();
    try {
      const program = place.path('my $HOME 100% node');
      await writeFile(program, '#!/bin/sh\n', { mode: 0o755 });
      const unit = place.path('words.service');
      await writeFile(unit, `[Service]\nExecStart=!${commandLine([program, '$HOME %n "a b\\'])}\n`);
      const { stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', unit], { encoding: 'utf8' });
      // It says so when the program is not there.
      assert.equal(stderr, '');
    } finally {
      await place.remove();
    }
  });

  it('double the dollar of arguments, and not that of the program', () => {
    assert.equal(commandLine(['/a$b', '$HOME']), '"/a$b" "$$HOME"');
  });
});
