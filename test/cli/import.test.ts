// portknock import, and portknockd on the file itself: what is written where, what is said, and how it ends.

import assert from 'node:assert/strict';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { Place } from './support.ts';

const CONF = [
  ...['[options]', 'Interface = lo', '[ssh]', 'sequence = 7000,9000,8000', 'tcpflags = syn'],
  ...['command = ufw allow from %IP% to any port 22 proto tcp', ''],
].join('\n');
const ACCESS = [
  ...['SOURCE ANY', 'OPEN_PORTS tcp/22', 'KEY a secret that is long', 'HMAC_KEY a secret of another kind'],
  ...['SOURCE ANY', 'OPEN_PORTS tcp/22', 'KEY __CHANGEME__', ''],
];
const SHELL = '[x]\nsequence = 1,3,2\ntcpflags = syn\ncommand = a | b %IP%\n';

describe('portknock import', function () {
  this.timeout(60_000);
  let place: Place;

  before(async () => {
    place = await Place.make();
    await writeFile(place.path('knockd.conf'), CONF);
    await writeFile(place.path('shell.conf'), CONF + SHELL);
    await writeFile(place.path('access.conf'), ACCESS.slice(0, 4).join('\n'));
    await writeFile(place.path('fresh.conf'), ACCESS.join('\n'));
    await writeFile(place.path('daemon.conf'), 'PCAP_INTF lo;\nENABLE_TCP_SERVER Y;\n');
    await writeFile(place.path('bad.conf'), '[a]\nsequence = 1:icmp\nfoo\n');
  });

  after(async () => {
    assert.doesNotMatch(place.printed, /secret/u);
    await place.remove();
  });

  it('writes to standard output, and on stderr what is not as it was', async () => {
    const { code, out, err } = await place.run('portknock import --knockd knockd.conf');
    assert.equal(code, 0);
    assert.match(out, /^# portknock gateway, made from knockd\.conf\./u);
    assert.match(out, /\nclients:\n {2}ssh: \{scheme: sequence, /u);
    assert.match(err, /^knockd\.conf:6:1: stricter: door ssh: opens 22\/tcp for one connection [^\n]*\n$/u);
  });

  it('writes a file that nobody else can read, which is a configuration, and overwrites none', async () => {
    const line = 'portknock import --knockd knockd.conf -o made.yaml -i eth7';
    const { code, out, err } = await place.run(line);
    assert.deepEqual([code, out], [0, '']);
    assert.match(err, /\nnext: portknockd --check --config made\.yaml\n$/u);
    assert.equal((await stat(place.path('made.yaml'))).mode & 0o777, 0o600);
    assert.match(await readFile(place.path('made.yaml'), 'utf8'), /^interface: eth7$/mu);
    const checked = await place.run('portknockd --check --config made.yaml');
    assert.deepEqual([checked.code, checked.out], [0, 'configuration is valid\n']);
    const again = await place.run(line);
    assert.equal(again.code, 1);
    assert.match(again.err, /file exists already: made\.yaml \(nothing was overwritten/u);
  });

  it('leaves out a door that needs a shell and exits 1, unless a shell is allowed', async () => {
    const refused = await place.run('portknock import --knockd shell.conf');
    assert.equal(refused.code, 1);
    assert.match(refused.err, /^shell\.conf:10:1: refused: door x: command needs a shell for '\|'/mu);
    assert.doesNotMatch(refused.out, /^ {2}x:/mu);
    const allowed = await place.run('portknock import --knockd shell.conf --allow-shell');
    assert.equal(allowed.code, 0);
    assert.match(allowed.out, /^ {2}x: \{open: \[\/bin\/sh, -c, /mu);
  });

  it('makes a configuration that nobody else can read of an access.conf', async () => {
    const line = 'portknock import --fwknop access.conf --fwknopd daemon.conf --out gate.yaml';
    const { code, out, err } = await place.run(line);
    assert.deepEqual([code, out], [0, '']);
    assert.equal(
      err,
      [
        'daemon.conf:2:1: lost: ENABLE_TCP_SERVER: packets are heard over UDP only',
        'access.conf:2:1: stricter: client fwknop opens ssh for one connection, from where its packet came (lift it with connections, may_claim)',
        'next: portknockd --check --config gate.yaml\n',
      ].join('\n'),
    );
    assert.equal((await stat(place.path('gate.yaml'))).mode & 0o777, 0o600);
    const checked = await place.run('portknockd --check --config gate.yaml');
    assert.deepEqual([checked.code, checked.out], [0, 'configuration is valid\n']);
  });

  it('leaves out a stanza that was never set up, and exits 1', async () => {
    const { code, err } = await place.run('portknock import --fwknop fresh.conf -i eth9 --out fresh.yaml');
    assert.equal(code, 1);
    assert.match(err, /^fresh\.conf:7:1: refused: stanza is left out: KEY was never set$/mu);
    assert.match(await readFile(place.path('fresh.yaml'), 'utf8'), /^interface: eth9$/mu);
  });

  const mistakes: readonly [line: string, err: RegExp][] = [
    ['portknock import', /^portknock: one of --knockd, --fwknop, --fwknoprc must be given/u],
    ['portknock import --knockd knockd.conf --fwknop access.conf', /^portknock: one of --knockd/u],
    ['portknock import --fwknop access.conf', /^portknock: what --fwknop writes has keys .*--out FILE/u],
    ['portknock import --fwknop access.conf --out x --strict', /^portknock: --strict and --allow-shell are/u],
    ['portknock import --fwknop absent.conf -o x', /^absent\.conf:1:1: configuration cannot be read/u],
    ['portknock import --knockd absent.conf', /^absent\.conf:1:1: configuration cannot be read/u],
    ['portknock import --knockd bad.conf', /^bad\.conf:2:1: .*\nbad\.conf:3:1: .*\n$/u],
    ['portknockd --knockd bad.conf --check', /^bad\.conf:2:1: .*\nbad\.conf:3:1: .*\n$/u],
    ['portknockd --knockd shell.conf', /^shell\.conf:10:1: door x: command needs a shell/u],
    ['portknockd --knockd knockd.conf --config x', /--config and --knockd exclude each other/u],
    ['portknockd --config x -i eth0', /--interface is for --knockd/u],
    ['portknockd --config x --allow-shell', /--allow-shell is for --knockd/u],
  ];
  for (const [line, err] of mistakes) {
    it(`says what is wrong and exits 2: ${line}`, async () => {
      const outcome = await place.run(line);
      assert.deepEqual([outcome.code, outcome.out], [2, '']);
      assert.match(outcome.err, err);
    });
  }

  it('is not needed: portknockd checks the file itself', async () => {
    const { code, out, err } = await place.run('portknockd --knockd knockd.conf --check --state state');
    assert.deepEqual([code, out], [0, 'configuration is valid\n']);
    assert.match(
      err,
      /^knockd\.conf:3:1: client ssh: sequence has 50 bits.*\nknockd\.conf:6:1: door ssh: opens/u,
    );
  });
});
