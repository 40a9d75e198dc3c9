// portknock send with SPA profiles: what it says and does, above all when something is wrong.

import assert from 'node:assert/strict';
import { copyFile, readdir, readFile, writeFile } from 'node:fs/promises';
import { LoopbackGateway } from './gateway.ts';
import { Place, type Outcome } from './support.ts';

const SECRET = Buffer.alloc(32, 9);
/** Of the resolver: a name server that cannot be reached must not use up the time that a knock has. */
const IMPATIENT = { RES_OPTIONS: 'timeout:1 attempts:1' };

describe('portknock send', function () {
  this.timeout(60_000);
  let place: Place;
  let gateway: LoopbackGateway;
  const send = (words: string, env: NodeJS.ProcessEnv = {}): Promise<Outcome> =>
    place.run(`portknock send ${words}`, env);

  before(async () => {
    place = await Place.make();
    gateway = await LoopbackGateway.start({ secret: SECRET }, (socket) => {
      socket.resume().on('end', () => socket.end());
      socket.write('hello');
    });
    await gateway.writeProfile(place.path('alice.knock'), SECRET);
    await gateway.writeProfile(place.path('nowhere.knock'), SECRET, { host: 'gw.invalid' });
    await gateway.writeProfile(place.path('unrouted.knock'), SECRET, { host: '255.255.255.255' });
    await gateway.writeProfile(place.path('exact.knock'), SECRET, { bind: 'exact' });
  });

  after(async () => {
    await gateway.stop();
    await place.remove();
  });

  it('waits until the port accepts, with a knock left for the connection', async () => {
    const { code, out, err } = await send('-p alice.knock --wait --json');
    assert.deepEqual([code, err], [0, '']);
    const { packets, ...facts } = JSON.parse(out) as Record<string, unknown>;
    assert.ok(Number(packets) >= 1);
    assert.deepEqual(facts, {
      ...{ ok: true, client: 'alice', scheme: 'spa', sent_to: '127.0.0.1', accepted: true },
    });
    while (gateway.grants < 2) await new Promise(setImmediate);
  });

  it('takes the opening back with --close', async () => {
    assert.deepEqual(await send('-p alice.knock echo --close'), {
      code: 0,
      out: '',
      err: 'asked 127.0.0.1 to close (1 packet)\n',
    });
    const { out } = await send('-p alice.knock echo --close --json');
    const facts = { ok: true, client: 'alice', scheme: 'spa', service: 'echo', sent_to: '127.0.0.1' };
    assert.deepEqual(JSON.parse(out), { ...facts, packets: 1, close: true });
    assert.equal((await send('-p alice.knock --wait')).code, 0);
  });

  it('names its source: its own, one that is given, or a prefix', async () => {
    const before = gateway.grants;
    for (const words of [
      '-p exact.knock',
      '-p alice.knock --source 127.0.0.1',
      '-p alice.knock --source 127.0.0.0/24',
    ]) {
      assert.deepEqual(await send(words), { code: 0, out: '', err: 'knocked at 127.0.0.1 (1 packet)\n' });
    }
    while (gateway.grants < before + 3) await new Promise(setImmediate);
    await send('-p alice.knock --source 192.0.2.1');
    assert.equal((await gateway.rejected()).reason, 'source-mismatch');
    gateway.rejects.length = 0;
  });

  it('keeps one counter for each key and gateway', async () => {
    const folder = place.path('home', '.local', 'state', 'portknock');
    const [name = ''] = await readdir(folder);
    const before = BigInt(await readFile(`${folder}/${name}`, 'utf8'));
    await send('-p alice.knock');
    assert.ok(BigInt(await readFile(`${folder}/${name}`, 'utf8')) > before);
    assert.equal((await readdir(folder)).length, 1);
  });

  describe('whose clock is behind its own last knock', () => {
    const XDG = 'XDG_STATE_HOME';
    let path: string;
    let env: NodeJS.ProcessEnv;

    before(async () => {
      env = { [XDG]: place.path('ahead') };
      await send('-p alice.knock', env);
      const [name = ''] = await readdir(place.path('ahead', 'portknock'));
      path = place.path('ahead', 'portknock', name);
    });

    let wrongMs: number;
    beforeEach(async () => {
      wrongMs = Date.now();
      await writeFile(path, `${BigInt(wrongMs + 143_000) << 16n}\n`);
    });
    /** It is that much behind still, but for the time that has passed. */
    const isRight = (seconds: number): boolean =>
      seconds > 142 - (Date.now() - wrongMs) / 1000 && seconds < 144;

    it('says so, and which file to remove if it had been wrong before', async () => {
      const { code, err } = await send('-p alice.knock', env);
      assert.equal(code, 0);
      const [, seconds] =
        /^portknock: this computer's clock is (\d+) s behind its last knock \(set it right; if it was ahead when that knock was sent, remove \S+\.counter\)\nknocked at /u.exec(
          err,
        ) ?? [];
      assert.ok(isRight(Number(seconds)), err);
      assert.ok(err.includes(path));
    });

    it('says so as JSON, and on stderr', async () => {
      const { out, err } = await send('-p alice.knock --json', env);
      const { clock_behind_seconds: seconds } = JSON.parse(out) as { clock_behind_seconds: number };
      assert.ok(isRight(seconds), String(seconds));
      assert.match(err, /^portknock: this computer's clock is \d+ s behind[^\n]*\n$/u);
    });

    it('says so when the port stays closed because of it', async () => {
      await gateway.writeProfile(place.path('closed.knock'), Buffer.alloc(32, 10));
      const other = { [XDG]: place.path('other') };
      await send('-p closed.knock', other);
      const [name = ''] = await readdir(place.path('other', 'portknock'));
      await copyFile(path, place.path('other', 'portknock', name));
      await send('-p alice.knock --close');
      const { code, err } = await send('-p closed.knock --wait --timeout 300ms', other);
      assert.equal(code, 1);
      const [clock = '', closed = ''] = err.split('\n');
      assert.match(clock, /^portknock: this computer's clock is \d+ s behind its last knock /u);
      assert.match(
        closed,
        /did not accept after \d knocks? in 0\.3 s \(this computer's clock is \d+ s behind/u,
      );
    });
  });

  const failures: readonly [what: string, words: string, code: string, message: RegExp][] = [
    [
      'a name that is not known',
      '-p nowhere.knock',
      'ERR_RESOLVE',
      /^host has no address: 'gw\.invalid' \(check the name and the DNS\)$/u,
    ],
    [
      'no way there',
      '-p unrouted.knock',
      'ERR_SEND',
      /^knock to 255\.255\.255\.255 could not be sent: E[A-Z]+ \(.*\)$/u,
    ],
    [
      'no address of the family',
      '-p alice.knock -6',
      'ERR_RESOLVE',
      /^host has no (IPv6 )?address: '127\.0\.0\.1' \(.*\)$/u,
    ],
    [
      'a port that stays closed',
      '-p closed.knock --wait --timeout 300ms',
      'ERR_NOT_OPEN',
      /^port \d+ of 127\.0\.0\.1 did not accept after \d knocks? in 0\.3 s \(check this computer's clock, .*\)$/u,
    ],
  ];
  for (const [what, words, code, message] of failures) {
    it(`tells ${what}, and exits 1`, async () => {
      await gateway.writeProfile(place.path('closed.knock'), Buffer.alloc(32, 10));
      await send('-p alice.knock --close');
      const { code: exit, out, err } = await send(`${words} --json`, IMPATIENT);
      assert.equal(exit, 1);
      const told = JSON.parse(out) as { ok: boolean; code: string; message: string };
      assert.deepEqual([told.ok, told.code], [false, code]);
      assert.match(told.message, message);
      assert.equal(err, `portknock: ${told.message}\n`);
    });
  }

  const mistakes: readonly [words: string, message: string][] = [
    ['-p alice.knock --wait --close', '--wait and --close exclude each other'],
    ['-p alice.knock --source 1.2.3', "--source must be an address or a prefix, got '1.2.3'"],
    ['-p alice.knock --source 10.0.0.0/33', "--source must be an address or a prefix, got '10.0.0.0/33'"],
    ['-p old.knock --source 192.0.2.1', '--source needs a profile of scheme spa or fwknop, got sequence'],
    ['-p old.knock --close', '--close needs a profile of scheme spa, not sequence'],
    [
      '-p alice.knock --password-fd x',
      "--password-fd must be the number of an open file, not 'x' (as in 3 3<FILE)",
    ],
  ];
  for (const [words, message] of mistakes) {
    it(`says so in one line and exits 2: send ${words}`, async () => {
      const old = {
        portknock: 1,
        host: '127.0.0.1',
        client: 'old',
        scheme: 'sequence',
        services: { ssh: 22 },
      };
      const text = JSON.stringify({ ...old, sequence: ['7000/udp'] });
      await writeFile(place.path('old.knock'), text, { mode: 0o600 });
      assert.deepEqual(await send(words), { code: 2, out: '', err: `portknock: ${message}\n` });
      const { code, message: told } = JSON.parse((await send(`${words} --json`)).out) as Record<
        string,
        string
      >;
      assert.deepEqual([code, told], ['ERR_USAGE', message]);
    });
  }
});
