// The daemon: what it says, when it is ready, how it stops. On a bound socket and the mock driver, so without root.

import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, readFile, readdir, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { freePorts } from '../support/ports.ts';
import { programArgs } from '../support/programs.ts';
import { killed, Lines, Place, type Outcome } from './support.ts';

interface Event {
  readonly time: string;
  readonly event: string;
  readonly [name: string]: unknown;
}

describe('portknockd', function () {
  this.timeout(60_000);
  let place: Place;
  let child: ChildProcess | null = null;

  before(async () => {
    place = await Place.make();
    const [low, high] = await freePorts(16);
    await place.run('portknock init --dir . --gateway 127.0.0.1 --interface lo --service ssh=22');
    const path = place.path('portknockd.yaml');
    const text = (await readFile(path, 'utf8'))
      .replace(/interface: lo/u, `socket: 127.0.0.1:${low}-${high}`)
      .replace(/knock_port: \d+/u, `knock_port: ${low}`)
      .replace('firewall: iptables', 'firewall: mock')
      .replace('open_for: 30s', 'open_for: 1s ');
    await writeFile(path, text);
    await place.run('portknock add-client field --one-time --services ssh --config portknockd.yaml');
  });

  afterEach(async () => {
    await killed(child);
    child = null;
  });

  after(async () => {
    await place.remove();
  });

  it('checks a configuration and touches nothing', async () => {
    const { code, out, err } = await place.run('portknockd --config portknockd.yaml --check');
    assert.deepEqual({ code, out, err }, { code: 0, out: 'configuration is valid\n', err: '' });
  });

  it('checks whether its account can get to it, where it has one', async () => {
    // Only root becomes somebody else.
    if (process.getuid?.() !== 0) return;
    const args = programArgs('portknockd');
    const closed = place.path('portknockd.js');
    await symlink(args.at(-1) ?? '', closed);
    const words = ['--config', 'portknockd.yaml', '--check', '--user', 'daemon'];
    const options = { cwd: place.folder, env: place.environment() };
    const ran = await place.outcome(
      spawn(process.execPath, [...args.slice(0, -1), closed, ...words], options),
    );
    assert.deepEqual([ran.code, ran.out], [1, '']);
    assert.match(ran.err, /portknockd is out of reach for user daemon: \S+ is closed to it \(chmod o\+x /u);
    assert.equal((await stat(place.path('state'))).uid, 0);
  });

  it('names every problem by its place and exits 2', async () => {
    const bad = (await readFile(place.path('portknockd.yaml'), 'utf8'))
      .replace('{ port: 22 }', '{ port: 0 }')
      .replace('protect:', 'protct:');
    await writeFile(place.path('bad.yaml'), bad);
    await chmod(place.path('bad.yaml'), 0o600);
    for (const mode of ['--check', '--dry-run', '--teardown', '']) {
      const { code, out, err } = await place.run(`portknockd --config bad.yaml ${mode}`.trim());
      assert.deepEqual([code, out], [2, ''], mode);
      const lineOf = (text: string): number => 1 + bad.split('\n').findIndex((line) => line.includes(text));
      assert.deepEqual(
        err
          .trim()
          .split('\n')
          .map((line) => line.replace(/(bad\.yaml:\d+:\d+: ).*?([^ ]+) \(.*/u, '$1... $2')),
        [`bad.yaml:${lineOf('protct')}:1: ... protct`, `bad.yaml:${lineOf('port: 0')}:16: ... 0`],
      );
    }
  });

  const mistakes: readonly [line: string, message: string][] = [
    ['portknockd --conf x', "unknown option '--conf' (see portknockd --help)"],
    ['portknockd --log xml', "--log must be text or json, not 'xml'"],
    ['portknockd --check --teardown', '--check, --teardown and --dry-run exclude each other'],
    ['portknockd now', "argument is one too many: 'now' (see portknockd --help)"],
  ];
  for (const [line, message] of mistakes) {
    it(`says what is wrong in one line and exits 2: ${line}`, async () => {
      assert.deepEqual(await place.run(line), { code: 2, out: '', err: `portknockd: ${message}\n` });
    });
  }

  it('explains itself within 80 columns', async () => {
    const { code, out } = await place.run('portknockd --help');
    assert.equal(code, 0);
    assert.deepEqual(
      out.split('\n').filter((line) => line.length > 80),
      [],
    );
  });

  it('reports a knock as JSON from ready to stop, and a repeated one as refused', async () => {
    const { running, lines } = start('--log', 'json');
    const ready = await event(lines, 'ready');
    assert.deepEqual([ready.driver, ready.services, ready.clients], ['mock', ['ssh'], 1]);
    const { step } = JSON.parse((await place.run('portknock send -p field.knock --json')).out) as {
      step: number;
    };
    const grant = await event(lines, 'grant');
    const { time, id, open_until: openUntil, ...rest } = grant;
    assert.deepEqual(rest, {
      event: 'grant',
      client: 'field',
      service: 'ssh',
      port: 22,
      source: '127.0.0.1',
      scheme: 'one-time',
    });
    assert.ok(Date.parse(String(openUntil)) - Date.parse(time) <= 1000);
    const close = await event(lines, 'close');
    assert.deepEqual([close.id, close.reason], [id, 'expired']);
    // A client that forgot its last step sends the same knock again.
    await writeSteps(step - 1);
    const again = JSON.parse((await place.run('portknock send -p field.knock --json')).out) as {
      step: number;
    };
    if (again.step === step) {
      const { reason, client, count } = await event(lines, 'reject');
      assert.deepEqual({ reason, client, count }, { reason: 'replayed', client: 'field', count: 1 });
    }
    const asked = performance.now();
    running.kill('SIGTERM');
    const [code] = (await once(running, 'close')) as [number | null];
    // It takes a moment where nothing else happens on the host.
    assert.ok(performance.now() - asked < 20_000);
    assert.equal(code, 0);
    assert.equal((await event(lines, 'stop')).reason, 'SIGTERM');
    assert.equal(
      lines.all.every((line) => /^\{"time":"[^"]+","event":"/u.test(line)),
      true,
    );
  });

  it('says how far a client’s clock is off, as a number and in words', async () => {
    await place.run('portknock add-client alice --psk --out alice.knock --config portknockd.yaml');
    const XDG_STATE_HOME = place.path('ahead');
    const folder = place.path('ahead', 'portknock');
    /** Gives when it was that far ahead. */
    const sendFromFuture = async (): Promise<number> => {
      await place.run('portknock send -p alice.knock', { XDG_STATE_HOME });
      const [name = ''] = await readdir(folder);
      const nowMs = Date.now();
      await writeFile(`${folder}/${name}`, `${BigInt(nowMs + 143_000) << 16n}\n`);
      await place.run('portknock send -p alice.knock', { XDG_STATE_HOME });
      return nowMs;
    };
    const first = start('--log', 'json');
    await event(first.lines, 'ready');
    const sentMs = await sendFromFuture();
    const { reason, client, clock_offset_seconds: seconds, message } = await event(first.lines, 'reject');
    assert.deepEqual([reason, client, message], ['future', 'alice', undefined]);
    assert.ok(Number(seconds) > 142 - (Date.now() - sentMs) / 1000 && Number(seconds) < 144, String(seconds));
    assert.equal(Number(seconds), Math.round(Number(seconds) * 10) / 10);
    first.running.kill('SIGTERM');
    await once(first.running, 'close');
    await rm(place.path('ahead'), { recursive: true });
    const { lines } = start();
    await lines.find((line) => line.includes(' ready '));
    const againMs = await sendFromFuture();
    const [, told = ''] =
      / reject reason=future source=127\.0\.0\.1 scheme=spa client=alice count=1 client clock is (\d+) s ahead \(set it right\)$/u.exec(
        await lines.find((line) => line.includes(' reject ')),
      ) ?? [];
    assert.ok(Number(told) > 142 - (Date.now() - againMs) / 1000 && Number(told) < 144, told);
  });

  it('speaks to people in text, and stops on SIGINT', async () => {
    const { running, lines } = start();
    const ready = await lines.find((line) => line.includes(' ready '));
    assert.match(ready, /^\S+Z ready source="udp socket \d+-\d+" driver=mock services=ssh clients=\d$/u);
    running.kill('SIGINT');
    assert.deepEqual((await once(running, 'close')).slice(0, 1), [0]);
    assert.match(lines.all.at(-1) ?? '', / stop reason=SIGINT$/u);
  });

  describe('takes its configuration anew', () => {
    let text: string;

    before(async () => {
      text = await readFile(place.path('portknockd.yaml'), 'utf8');
    });

    afterEach(async () => {
      await writeFile(place.path('portknockd.yaml'), text);
    });

    const reload = (): Promise<Outcome> => place.run('portknock reload --config portknockd.yaml');
    const withAdmin = (): string => text.replace(/^services:\n/mu, 'services:\n  admin: { port: 8443 }\n');

    it('on SIGHUP and on portknock reload, and goes on', async () => {
      const { running, lines } = start('--log', 'json');
      const ready = await event(lines, 'ready');
      await writeFile(place.path('portknockd.yaml'), withAdmin());
      running.kill('SIGHUP');
      const { services, clients } = await event(lines, 'reload');
      assert.deepEqual([services, clients], [['admin', 'ssh'], ready.clients]);
      await writeFile(place.path('portknockd.yaml'), text);
      assert.deepEqual(await reload(), { code: 0, out: '', err: 'portknockd has taken it up\n' });
      // What an earlier run has opened may end now.
      const events = lines.all
        .map((line) => JSON.parse(line) as Event)
        .filter((each) => each.event !== 'close');
      assert.deepEqual(
        events.map(({ event: name, services: names }) => [name, names]),
        [
          ['ready', ['ssh']],
          ['reload', ['admin', 'ssh']],
          ['reload', ['ssh']],
        ],
      );
      assert.equal(running.exitCode, null);
    });

    it('unless it is wrong: every line is told, and the old rules stay', async () => {
      const { running, lines } = start('--log', 'json');
      await event(lines, 'ready');
      await writeFile(
        place.path('portknockd.yaml'),
        text.replace('{ port: 22 }', '{ port: 0 }').replace('protect:', 'protct:'),
      );
      const { code, out, err } = await reload();
      assert.deepEqual([code, out], [1, '']);
      assert.match(
        err,
        /^portknockd\.yaml:\d+:1: [^\n]*protct[^\n]*\nportknockd\.yaml:\d+:\d+: service ssh: port [^\n]*\nportknockd keeps its old rules\n$/u,
      );
      running.kill('SIGHUP');
      const { code: error, message } = await event(lines, 'error');
      assert.equal(error, 'ERR_CONFIG');
      assert.equal(`${String(message)}\nportknockd keeps its old rules\n`, err);
      await place.run('portknock send -p field.knock');
      assert.equal((await event(lines, 'grant')).client, 'field');
    });

    it('also when it is found by its state, and says what should not stay so', async () => {
      const { lines } = start('--log', 'json');
      await event(lines, 'ready');
      await writeFile(place.path('portknockd.yaml'), text.replace('digest: sha256', 'digest: md5'));
      const { code, err } = await place.run('portknock reload --state state');
      assert.equal(code, 0, err);
      assert.match(err, /^portknockd\.yaml:\d+:\d+: [^\n]*digest md5 [^\n]*\nportknockd has taken it up\n$/u);
    });

    it('unless it would need a restart: the daemon says so', async () => {
      const { lines } = start('--log', 'json');
      await event(lines, 'ready');
      await writeFile(place.path('portknockd.yaml'), text.replace('firewall: mock', 'firewall: iptables'));
      const { code, err } = await reload();
      assert.equal(code, 1);
      assert.match(
        err,
        /^firewall cannot change while portknockd runs \(restart it\)\nportknockd keeps its old rules\n$/u,
      );
      assert.equal((await event(lines, 'error')).code, 'ERR_CONFIG');
    });

    it('and says what is wrong in text, a line each', async () => {
      const { running, lines } = start();
      const told = new Lines(running.stderr ?? process.stdin);
      await lines.find((line) => line.includes(' ready '));
      await writeFile(
        place.path('portknockd.yaml'),
        text.replace('{ port: 22 }', '{ port: 0 }').replace('protect:', 'protct:'),
      );
      running.kill('SIGHUP');
      await told.find((line) => / error code=ERR_CONFIG portknockd\.yaml:\d+:1: /u.test(line));
      await told.find((line) =>
        / error code=ERR_CONFIG portknockd\.yaml:\d+:\d+: service ssh: port /u.test(line),
      );
      await writeFile(place.path('portknockd.yaml'), text);
      running.kill('SIGHUP');
      assert.match(
        await lines.find((line) => line.includes(' reload ')),
        / reload services=ssh clients=\d$/u,
      );
    });

    it('one after the other when it is asked twice at once', async () => {
      const { running, lines } = start('--log', 'json');
      await event(lines, 'ready');
      running.kill('SIGHUP');
      const asked = await Promise.all([reload(), reload()]);
      assert.deepEqual(
        asked.map(({ code }) => code),
        [0, 0],
      );
      assert.equal(lines.all.filter((line) => line.includes('"event":"reload"')).length, 3);
    });

    it('not when nobody runs', async () => {
      const { code, err } = await reload();
      assert.equal(code, 1);
      assert.match(
        err,
        /^portknock: no portknockd answers at .*state\/portknockd\.sock \(start it, .*\)\n$/u,
      );
    });
  });

  it('has no control socket in a dry run, which may be beside a daemon', async () => {
    const { lines } = start('--dry-run', '--log', 'json');
    await event(lines, 'ready');
    await assert.rejects(stat(place.path('state', 'portknockd.sock')), { code: 'ENOENT' });
  });

  it('leaves the replay state alone in a dry run', async () => {
    const before = await readFile(place.path('state', 'replay'));
    const { running, lines } = start('--dry-run', '--log', 'json');
    await event(lines, 'ready');
    running.kill('SIGTERM');
    await once(running, 'close');
    assert.deepEqual(await readFile(place.path('state', 'replay')), before);
  });

  it('exits with one line when it cannot start, and leaves nothing running', async () => {
    const first = start('--log', 'json');
    await event(first.lines, 'ready');
    const { code, err } = await place.run('portknockd --config portknockd.yaml');
    assert.ok(code === 1 || code === 2);
    assert.match(err, /^portknockd: [^\n]+\n$/u);
  });

  function start(...args: string[]): { running: ChildProcess; lines: Lines } {
    const running = place.start('portknockd', ['--config', 'portknockd.yaml', ...args]);
    child = running;
    assert.ok(running.stdout !== null);
    return { running, lines: new Lines(running.stdout) };
  }

  async function writeSteps(step: number): Promise<void> {
    const folder = place.path('home', '.local', 'state', 'portknock');
    for (const file of await readdir(folder)) await writeFile(`${folder}/${file}`, `${step}\n`);
  }
});

async function event(lines: Lines, name: string): Promise<Event> {
  return JSON.parse(await lines.find((line) => line.includes(`"event":"${name}"`))) as Event;
}
