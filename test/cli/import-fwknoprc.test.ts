// portknock import: a stanza of fwknop's client becomes a profile that nobody else can read, and that send can use.

import assert from 'node:assert/strict';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { parseProfile } from '../../lib/knocker.ts';
import { Place } from './support.ts';

const KEY = Buffer.alloc(32, 1).toString('base64');
const HMAC_KEY = Buffer.alloc(32, 2).toString('base64');

describe('portknock import --fwknoprc', function () {
  this.timeout(60_000);
  let place: Place;

  before(async () => {
    place = await Place.make();
    await mkdir(place.path('home'));
    const stanza = [
      'SPA_SERVER 127.0.0.1',
      'ACCESS tcp/22',
      `KEY_BASE64 ${KEY}`,
      `HMAC_KEY_BASE64 ${HMAC_KEY}`,
    ];
    const text = ['[gw]', ...stanza, 'SPOOF_USER bob', 'NAT_ACCESS 10.0.0.5:22', ''].join('\n');
    await writeFile(place.path('home', '.fwknoprc'), text, { mode: 0o600 });
    await writeFile(place.path('other'), text.replace('[gw]', '[../other]'), { mode: 0o600 });
  });

  after(async () => {
    assert.ok(![KEY, HMAC_KEY].some((key) => place.printed.includes(key)), 'a key was printed');
    await place.remove();
  });

  it('writes a profile, says what was not carried over, and send knocks with it', async () => {
    const outcome = await place.run('portknock import --stanza gw');
    assert.deepEqual(outcome, {
      code: 0,
      out: 'gw.knock\n',
      err: 'line 7: NAT_ACCESS is not carried over\n',
    });
    assert.equal((await stat(place.path('gw.knock'))).mode & 0o777, 0o600);
    const profile = parseProfile(await readFile(place.path('gw.knock'), 'utf8'));
    assert.deepEqual([profile.scheme, profile.host, profile.client], ['fwknop', '127.0.0.1', 'bob']);
    const sent = await place.run('portknock send -p gw.knock');
    assert.deepEqual(sent, { code: 0, out: '', err: 'knocked at 127.0.0.1 (1 packet)\n' });
  });

  it('overwrites nothing', async () => {
    const { code, err } = await place.run('portknock import --stanza gw');
    assert.deepEqual([code, err.split(' (')[0]], [1, 'portknock: file exists already: gw.knock']);
  });

  it('takes another file, and keeps the profile in this folder whatever the stanza is called', async () => {
    const { code, out } = await place.run('portknock import --fwknoprc other --stanza ../other');
    assert.deepEqual([code, out], [0, '.._other.knock\n']);
  });

  it('says what is wrong', async () => {
    const rows: readonly [line: string, message: string][] = [
      ['portknock import --stanza nobody', 'stanza cannot be used: there is no stanza nobody (there is gw)'],
      [
        'portknock import --fwknoprc gone',
        'stanza cannot be read: gone: there is no such file (check the path)',
      ],
    ];
    for (const [line, message] of rows) {
      assert.deepEqual(await place.run(line), { code: 2, out: '', err: `portknock: ${message}\n` });
    }
  });
});
