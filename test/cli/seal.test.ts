// Profiles under a password: sealed and opened by the programs, with the password from everywhere it may come from.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, open, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { LoopbackGateway } from './gateway.ts';
import { Place, type Outcome } from './support.ts';
import { OnTerminal } from './terminal.ts';

const SECRET = Buffer.alloc(32, 9);
const PASSWORD = 'staple battery';

describe('a sealed profile', function () {
  this.timeout(60_000);
  let place: Place;
  let gateway: LoopbackGateway;
  const given = { PORTKNOCK_PASSWORD: PASSWORD };
  const KNOCKED: Outcome = { code: 0, out: '', err: 'knocked at 127.0.0.1 (1 packet)\n' };

  before(async () => {
    place = await Place.make();
    gateway = await LoopbackGateway.start({ secret: SECRET }, (socket) => socket.end('hello'));
    await gateway.writeProfile(place.path('alice.knock'), SECRET);
    await copyFile(place.path('alice.knock'), place.path('sealed.knock'));
    const sealed = await place.run('portknock seal sealed.knock', given);
    assert.deepEqual(sealed, { code: 0, out: '', err: 'sealed sealed.knock\n' });
  });

  after(async () => {
    await gateway.stop();
    await place.remove();
  });

  it('shows nothing of the profile, and is readable by its owner only', async () => {
    const text = await readFile(place.path('sealed.knock'), 'utf8');
    for (const word of ['"alice"', '127.0.0.1', 'gw.example', SECRET.toString('base64').slice(0, 12)]) {
      assert.ok(!text.includes(word), word);
    }
    assert.equal((await stat(place.path('sealed.knock'))).mode & 0o777, 0o600);
    assert.deepEqual(
      (await readdir(place.folder)).filter((name) => name.startsWith('.')),
      [],
    );
  });

  it('knocks with the password from the environment', async () => {
    assert.deepEqual(await place.run('portknock send -p sealed.knock', given), KNOCKED);
    const text = await readFile(place.path('sealed.knock'), 'utf8');
    assert.deepEqual(await place.run('portknock send', { ...given, PORTKNOCK_PROFILE: text }), KNOCKED);
  });

  it('connects with it as well', async () => {
    const { code, out } = await place.run('portknock connect -p sealed.knock', given, '');
    assert.deepEqual([code, out], [0, 'hello']);
  });

  for (const [what, text] of [
    ['a line', `${PASSWORD}\n`],
    ['a line of Windows', `${PASSWORD}\r\n`],
    ['the whole of it', PASSWORD],
    ['a first line', `${PASSWORD}\nmore\n`],
  ] as const) {
    it(`knocks with the password from a file descriptor: ${what}`, async () => {
      await writeFile(place.path('password'), text);
      const handle = await open(place.path('password'));
      assert.deepEqual(await withFd(place, handle.fd), KNOCKED);
      await handle.close();
    });
  }

  it('knocks with the password from standard input, whose writer stays', async () => {
    const child = place.start('portknock', ['send', '-p', 'sealed.knock', '--password-fd', '0'], {}, 'pipe');
    child.stdin?.write(`${PASSWORD}\n`);
    assert.deepEqual(await once(child, 'close'), [0, null]);
  });

  it('is asked for on the terminal, up to three times, and never shown', async () => {
    const terminal = new OnTerminal(place, ['portknock', 'send', '-p', 'sealed.knock']);
    await terminal.answer('password of sealed.knock: ', 'wrong\r');
    await terminal.answer('password of sealed.knock: ', `${PASSWORD}\r`, 2);
    assert.deepEqual(await terminal.end(), { code: 0, restored: true });
    assert.ok(!terminal.screen.includes('staple'));
  });

  const refusals: readonly [what: string, words: string, env: NodeJS.ProcessEnv, message: RegExp][] = [
    [
      'a wrong password',
      'send -p sealed.knock',
      { PORTKNOCK_PASSWORD: 'wrong' },
      /^portknock: password of the profile is wrong \(type it again\)\n$/u,
    ],
    [
      'no terminal',
      'send -p sealed.knock',
      {},
      /^portknock: password of sealed\.knock is needed, and there is no terminal to ask on \(use --password-fd N, or set PORTKNOCK_PASSWORD\)\n$/u,
    ],
    [
      'a descriptor that is not open',
      'send -p sealed.knock --password-fd 77',
      {},
      /^portknock: --password-fd 77 cannot be read: EBADF \(open it: 77<FILE\)\n$/u,
    ],
    [
      'a profile that is sealed already',
      'seal sealed.knock',
      given,
      /^portknock: profile is sealed already: sealed\.knock \(nothing was changed\)\n$/u,
    ],
    ['something else than a profile', 'seal other', given, /^portknock: profile cannot be used: /u],
    ['a profile that others can read', 'seal open', given, /^portknock: profile can be read by others: /u],
    ['an empty password', 'seal alice.knock', { PORTKNOCK_PASSWORD: '' }, /^portknock: password is empty /u],
    [
      'a file that is not there',
      'seal none',
      given,
      /^portknock: profile cannot be read: none: there is no such file /u,
    ],
    ['nothing to seal', 'seal', given, /^portknock: something is missing \(see portknock seal --help\)\n$/u],
  ];
  for (const [what, words, env, message] of refusals) {
    it(`refuses ${what}, and exits 2`, async () => {
      await writeFile(place.path('other'), '{}', { mode: 0o600 });
      await copyFile(place.path('alice.knock'), place.path('open'));
      await chmod(place.path('open'), 0o640);
      const before = await readFile(place.path('alice.knock'));
      const { code, err } = await place.runDetached(words.split(' '), env);
      assert.equal(code, 2);
      assert.match(err, message);
      assert.deepEqual(await readFile(place.path('alice.knock')), before);
    });
  }

  it('is made with a password that is typed twice, in place of what a link names', async () => {
    await copyFile(place.path('alice.knock'), place.path('typed.knock'));
    await symlink('typed.knock', place.path('link.knock'));
    const terminal = new OnTerminal(place, ['portknock', 'seal', 'link.knock']);
    await terminal.answer('new password of link.knock: ', `${PASSWORD}\r`);
    await terminal.answer('the same again: ', 'something else\r');
    await terminal.answer('new password of link.knock: ', `${PASSWORD}\r`, 2);
    await terminal.answer('the same again: ', `${PASSWORD}\r`, 2);
    assert.deepEqual(await terminal.end(), { code: 0, restored: true });
    assert.ok(!terminal.screen.includes('staple'));
    assert.deepEqual(await place.run('portknock send -p typed.knock', given), KNOCKED);
  });

  it('is never printed, and neither is its password', () => {
    assert.ok(place.printed.length > 500);
    for (const secret of [PASSWORD, SECRET.toString('base64').slice(0, 12)]) {
      assert.ok(!place.printed.includes(secret));
    }
  });
});

function withFd(place: Place, fd: number): Promise<Outcome> {
  const [node, all] = place.command('portknock', ['send', '-p', 'sealed.knock', '--password-fd', '3']);
  const child = spawn(node, all, {
    ...{ cwd: place.folder, env: place.environment() },
    stdio: ['ignore', 'pipe', 'pipe', fd],
  });
  return place.outcome(child);
}
