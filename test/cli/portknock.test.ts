// The portknock program: what it prints where, with which exit code, and that it never prints a secret.

import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { Place, type Outcome } from './support.ts';

const VERSION = (JSON.parse(await readFile('package.json', 'utf8')) as { version: string }).version;

describe('portknock', function () {
  this.timeout(120_000);
  let place: Place;
  const secrets: string[] = [];
  const run = (line: string, env?: NodeJS.ProcessEnv): Promise<Outcome> => place.run(line, env);

  before(async () => {
    place = await Place.make();
    await run(
      'portknock init --dir gw --gateway 127.0.0.1 --interface lo --service ssh=22 --service web=8080',
    );
    await run('portknock add-client field --one-time --services ssh,web --config gw/portknockd.yaml');
    for (const file of ['gateway.key', 'field.key'])
      secrets.push((await readFile(place.path('gw', file), 'utf8')).trim());
  });

  after(async () => {
    await place.remove();
  });

  describe('on a command line that is wrong', () => {
    const rows: readonly [line: string, message: string][] = [
      ['portknock', 'command is missing (see portknock --help)'],
      ['portknock knock', "command is not known: 'knock' (see portknock --help)"],
      ['portknock constructor', "command is not known: 'constructor' (see portknock --help)"],
      ['portknock --frobnicate', "unknown option '--frobnicate' (see portknock --help)"],
      ['portknock send --frobnicate', "unknown option '--frobnicate' (see portknock send --help)"],
      ['portknock send -p', "option '-p, --profile <value>' argument missing (see portknock send --help)"],
      ['portknock send -p x ssh web', "argument is one too many: 'web' (see portknock send --help)"],
      ['portknock send', 'profile is not given (use -p FILE, or set PORTKNOCK_PROFILE)'],
      ['portknock send -p gw/field.knock -4 -6', '-4 and -6 exclude each other'],
      [
        'portknock send -p gw/field.knock --timeout 3d',
        "--timeout must be a length of time, not '3d' (write it as 10s or 2m)",
      ],
      ['portknock send -p gw/field.knock ssx', "service must be one of ssh, web, not 'ssx'"],
      ['portknock send -p gw/field.knock --wait', 'service must be one of ssh, web, none was given'],
      ['portknock init --dir x --service ssh', "--service must be NAME=PORT, not 'ssh' (as in ssh=22)"],
      [
        'portknock init --dir x --service ssh=65536',
        "--service must be NAME=PORT, not 'ssh=65536' (as in ssh=22)",
      ],
      ['portknock add-client', 'something is missing (see portknock add-client --help)'],
      [
        'portknock add-client new --config gw/portknockd.yaml',
        'one of --key FILE.pub, --psk, --one-time and --sequence is missing',
      ],
      ['portknock add-client new --psk --one-time', '--psk and --one-time exclude each other'],
      ['portknock add-client new --one-time --bind exact', '--bind needs --key or --psk'],
      ['portknock add-client new --psk --digest md5', '--digest needs --one-time'],
      [
        'portknock add-client new --psk --bind loose',
        "--bind must be observed or exact or prefix, not 'loose'",
      ],
      ['portknock keygen --secret --comment x', '--comment and --secret exclude each other'],
      ['portknock reload now', "argument is one too many: 'now' (see portknock reload --help)"],
      [
        'portknock add-client new --one-time --services ssx --config gw/portknockd.yaml',
        "services must be among ssh, web, got 'ssx'",
      ],
      [
        'portknock add-client new --one-time --digest sha1 --services ssh',
        "--digest must be sha256 or md5, not 'sha1'",
      ],
    ];
    for (const [line, message] of rows) {
      it(`says so in one line and exits 2: ${line}`, async () => {
        assert.deepEqual(await run(line), { code: 2, out: '', err: `portknock: ${message}\n` });
      });
    }
  });

  for (const command of [
    ...['', ' send', ' connect', ' keygen', ' seal'],
    ...[' init', ' add-client', ' reload', ' check', ' explain'],
  ]) {
    it(`explains itself within 80 columns: portknock${command} --help`, async () => {
      const { code, out, err } = await run(`portknock${command} --help`);
      assert.deepEqual([code, err], [0, '']);
      assert.match(out, new RegExp(`^usage: portknock${command}`, 'u'));
      assert.deepEqual(
        out.split('\n').filter((line) => line.length > 80),
        [],
      );
    });
  }

  it('tells its version, with and without a command', async () => {
    const expected = { code: 0, out: `portknock ${VERSION}\n`, err: '' };
    assert.deepEqual(await run('portknock --version'), expected);
    assert.deepEqual(await run('portknock send -V'), expected);
  });

  describe('init', () => {
    it('names what it wrote on stdout and the next command on stderr', async () => {
      const { code, out, err } = await run('portknock init --dir fresh --interface lo');
      assert.equal(code, 0);
      const files = ['portknockd.yaml', 'gateway.key', 'state/replay'];
      assert.equal(out, files.map((file) => `${place.path('fresh', file)}\n`).join(''));
      const config = place.path('fresh', 'portknockd.yaml');
      assert.deepEqual(err.split('\n'), [
        `clients will call this host ${hostname()} (if they do not, change gateway: in ${config})`,
        "next: take a client's public key (~/.ssh/id_ed25519.pub will do) here as NAME.pub, and:",
        `  portknock add-client NAME --key NAME.pub --config ${config}`,
        '',
      ]);
      assert.match(await readFile(config, 'utf8'), new RegExp(`^gateway: "?${hostname()}"? `, 'mu'));
      for (const file of files) assert.equal((await stat(place.path('fresh', file))).mode & 0o777, 0o600);
    });

    it('overwrites nothing', async () => {
      const before = await readFile(place.path('gw', 'portknockd.yaml'));
      const { code, err } = await run('portknock init --dir gw');
      assert.equal(code, 1);
      assert.match(
        err,
        /^portknock: file exists already: .*portknockd\.yaml \(nothing was overwritten.*\)\n$/u,
      );
      assert.deepEqual(await readFile(place.path('gw', 'portknockd.yaml')), before);
    });
  });

  describe('add-client', () => {
    it('adds a plain sequence, and check says how strong it is', async () => {
      const added = await run(
        'portknock add-client old --sequence 7000/tcp,9000/udp,8000/tcp --services ssh --config gw/portknockd.yaml',
      );
      assert.equal(added.code, 0);
      assert.ok(added.err.includes("ssh -o ProxyCommand='portknock connect -p old.knock %h %p' 127.0.0.1"));
      const { code, out, err } = await run('portknock check --config gw/portknockd.yaml');
      assert.equal(code, 0);
      assert.equal(out, 'field  one-time over udp   256 bits\nold    sequence             50 bits\n');
      assert.match(
        err,
        /^gw\/portknockd\.yaml:\d+:\d+: client old: sequence has 50 bits, less than 60 \(.*\)\n$/u,
      );
    });

    it('refuses a name that is there', async () => {
      const { code, err } = await run(
        'portknock add-client field --one-time --services ssh --config gw/portknockd.yaml',
      );
      assert.deepEqual(
        [code, err],
        [1, 'portknock: client is in the configuration already: field (choose another name)\n'],
      );
    });
  });

  describe('keygen', () => {
    it('prints a secret, or writes it and prints where', async () => {
      const printed = await place
        .start('portknock', ['keygen', '--secret'])
        .stdout?.setEncoding('utf8')
        .toArray();
      assert.match(String(printed), /^[A-Za-z0-9+/]{43}=\n$/u);
      const written = await run('portknock keygen --secret --out new.key');
      assert.deepEqual(written, { code: 0, out: 'new.key\n', err: '' });
      secrets.push((await readFile(place.path('new.key'), 'utf8')).trim());
      assert.equal((await run('portknock keygen --secret --out new.key')).code, 1);
    });

    it('makes a key pair that ssh-keygen takes, names the next command, and overwrites nothing', async () => {
      const { code, out, err } = await run('portknock keygen --out pair --comment alice@laptop');
      assert.deepEqual([code, out], [0, 'pair\npair.pub\n']);
      assert.match(
        err,
        /^next: take \S*pair\.pub to the gateway, and there:\n {2}portknock add-client NAME --key pair\.pub\n$/u,
      );
      assert.equal((await stat(place.path('pair'))).mode & 0o777, 0o600);
      const line = (await readFile(place.path('pair.pub'), 'utf8')).trim();
      assert.match(line, /^ssh-ed25519 AAAA\S+ alice@laptop$/u);
      assert.equal((await place.tool('ssh-keygen', ['-yf', 'pair'])).trim(), line);
      const before = await readFile(place.path('pair'));
      assert.equal((await run('portknock keygen --out pair')).code, 1);
      assert.deepEqual(await readFile(place.path('pair')), before);
    });

    it('puts it where send and connect look for it, unless told otherwise', async () => {
      const { code } = await run('portknock keygen', { USER: 'alice' });
      assert.equal(code, 0);
      const folder = place.path('home', '.ssh');
      assert.equal((await stat(folder)).mode & 0o777, 0o700);
      assert.match(
        await readFile(`${folder}/portknock_ed25519.pub`, 'utf8'),
        /^ssh-ed25519 \S+ alice@\S+\n$/u,
      );
    });
  });

  describe('send', () => {
    it('says what it sent, as JSON on demand, and uses each step once across runs', async () => {
      const first = await run('portknock send -p gw/field.knock ssh --json');
      const second = await run('portknock send -p gw/field.knock');
      const third = await run('portknock send -p gw/field.knock --json');
      assert.deepEqual([first.code, first.err], [0, '']);
      const { step, ...facts } = JSON.parse(first.out) as Record<string, unknown>;
      const common = { ok: true, client: 'field', scheme: 'one-time', sent_to: '127.0.0.1', packets: 5 };
      assert.deepEqual(facts, { ...common, service: 'ssh' });
      assert.deepEqual(second, { code: 0, out: '', err: 'knocked at 127.0.0.1 (5 packets)\n' });
      assert.ok((JSON.parse(third.out) as { step: number }).step >= Number(step) + 2);
      const folder = place.path('home', '.local', 'state', 'portknock');
      const files = await readdir(folder);
      assert.equal(files.length, 1);
      assert.equal((await stat(`${folder}/${files[0] ?? ''}`)).mode & 0o777, 0o600);
    });

    it('takes the profile from the environment, as a path or as text', async () => {
      const path = place.path('gw', 'field.knock');
      const state = { XDG_STATE_HOME: place.path('other-state') };
      assert.equal((await run('portknock send', { ...state, PORTKNOCK_PROFILE: path })).code, 0);
      const text = await readFile(path, 'utf8');
      assert.equal((await run('portknock send -4', { ...state, PORTKNOCK_PROFILE: text })).code, 0);
    });

    it('knocks without a home as well, with one warning', async () => {
      await writeFile(place.path('file'), '');
      const { code, err } = await run('portknock send -p gw/field.knock', { HOME: place.path('file') });
      assert.equal(code, 0);
      assert.match(
        err,
        /^portknock: last knock is not remembered: ENOTDIR \(check .*\)\nknocked at 127\.0\.0\.1 \(5 packets\)\n$/u,
      );
    });

    it('says how long to wait after too many knocks in a row', async () => {
      await mkdir(place.path('ahead', 'portknock'), { recursive: true });
      const XDG_STATE_HOME = place.path('ahead');
      let last: Outcome = { code: 0, out: '', err: '' };
      // A step is ten seconds: on a busy machine some of them may pass meanwhile.
      for (let i = 0; i < 30 && last.code === 0; i += 1)
        last = await run('portknock send -p gw/field.knock --json', { XDG_STATE_HOME });
      assert.equal(last.code, 1);
      assert.match(
        last.err,
        /^portknock: too many knocks in a row: the next is not valid yet \(wait \d+ s\)\n$/u,
      );
      assert.equal((JSON.parse(last.out) as { code: string }).code, 'ERR_KNOCK_AHEAD');
    });

    const profiles: readonly [what: string, mode: number, text: string | null, message: RegExp][] = [
      [
        'can be read by others',
        0o640,
        null,
        /^portknock: profile can be read by others: bad\.knock \(chmod 600 bad\.knock\)\n$/u,
      ],
      [
        'is damaged',
        0o600,
        '{ "secret": "',
        /^portknock: profile cannot be used: the text is not JSON \(.*\)\n$/u,
      ],
    ];
    for (const [what, mode, text, message] of profiles) {
      it(`refuses a profile that ${what}`, async () => {
        await writeFile(
          place.path('bad.knock'),
          text ?? (await readFile(place.path('gw', 'field.knock'), 'utf8')),
        );
        await chmod(place.path('bad.knock'), mode);
        const { code, err } = await run('portknock send -p bad.knock');
        assert.equal(code, 2);
        assert.match(err, message);
      });
    }

    it('escapes what it was given', async () => {
      const { code, err } = await run('portknock send -p gone\u001b[2J');
      assert.deepEqual(
        [code, err],
        [2, 'portknock: profile cannot be read: gone\\u{1b}[2J: there is no such file (check the path)\n'],
      );
    });
  });

  // A suite of its own, because mocha runs a suite's own tests before its nested suites.
  describe('afterwards', () => {
    it('has printed no secret in all of these tests', () => {
      assert.ok(place.printed.length > 1000);
      assert.equal(secrets.length, 3);
      for (const secret of secrets) assert.ok(!place.printed.includes(secret.slice(0, 12)), place.printed);
    });
  });
});
