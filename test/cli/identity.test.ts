// Who signs: a real ssh-agent, real keys of ssh-keygen, and a gateway that checks the signatures.

import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, readFile, rename, rm } from 'node:fs/promises';
import { LoopbackGateway } from './gateway.ts';
import { Place, type Outcome } from './support.ts';
import { OnTerminal } from './terminal.ts';

const PASSPHRASE = 'correct horse';

describe('portknock send signs', function () {
  this.timeout(60_000);
  let place: Place;
  let gateway: LoopbackGateway;
  let agent: ChildProcess;
  let fingerprint: string;
  const agentEnv = (): NodeJS.ProcessEnv => ({ SSH_AUTH_SOCK: place.path('agent') });
  const send = (words = '', env: NodeJS.ProcessEnv = {}): Promise<Outcome> =>
    place.run(`portknock send -p alice.knock ${words}`.trim(), env);

  before(async () => {
    place = await Place.make();
    await mkdir(place.path('home', '.ssh'), { recursive: true });
    for (const [file, comment, passphrase] of [
      ['alice', 'alice@laptop', ''],
      ['other', 'other', ''],
    ] as const) {
      await place.tool('ssh-keygen', ['-q', '-t', 'ed25519', '-N', passphrase, '-C', comment, '-f', file]);
    }
    await copyFile(place.path('alice'), place.path('sealed'));
    await chmod(place.path('sealed'), 0o600);
    await place.tool('ssh-keygen', ['-q', '-p', '-P', '', '-N', PASSPHRASE, '-f', 'sealed']);
    await place.tool('ssh-keygen', ['-q', '-t', 'rsa', '-b', '2048', '-N', '', '-f', 'rsa']);
    fingerprint = /SHA256:\S+/u.exec(await place.tool('ssh-keygen', ['-lf', 'alice.pub']))?.[0] ?? '';
    const line = (await readFile(place.path('alice.pub'), 'utf8')).trim();
    gateway = await LoopbackGateway.start({ publicKey: line }, () => undefined);
    await gateway.writeProfile(place.path('alice.knock'), line);
    agent = spawn('ssh-agent', ['-D', '-a', place.path('agent')], { stdio: ['ignore', 'pipe', 'inherit'] });
    assert.ok(agent.stdout !== null);
    await once(agent.stdout, 'data');
    await place.tool('ssh-add', ['-q', place.path('other')], agentEnv());
  });

  afterEach(async () => {
    for (const file of ['id_ed25519', 'id_ed25519.pub', 'portknock_ed25519']) {
      await rm(place.path('home', '.ssh', file), { force: true });
    }
    assert.deepEqual(gateway.rejects, []);
  });

  after(async () => {
    agent.kill();
    await gateway.stop();
    await place.remove();
  });

  /** A knock that the gateway believes. */
  async function isBelieved(sending: Promise<Outcome>): Promise<void> {
    const before = gateway.grants;
    const { code, err } = await sending;
    assert.deepEqual([code, err], [0, 'knocked at 127.0.0.1 (1 packet)\n']);
    while (gateway.grants === before) await new Promise(setImmediate);
  }

  it('with the file that is named, whose .pub need not be there', async () => {
    await rename(place.path('alice.pub'), place.path('elsewhere.pub'));
    await isBelieved(send('-i alice'));
    await rename(place.path('elsewhere.pub'), place.path('alice.pub'));
  });

  it('with an encrypted file and PORTKNOCK_PASSPHRASE', async () => {
    await isBelieved(send('-i sealed', { PORTKNOCK_PASSPHRASE: PASSPHRASE }));
  });

  it('with PORTKNOCK_KEY, as path and as text', async () => {
    await isBelieved(send('', { PORTKNOCK_KEY: place.path('alice') }));
    const text = await readFile(place.path('alice'), 'utf8');
    await isBelieved(send('', { PORTKNOCK_KEY: text }));
    // As a variable of a pipeline may have it.
    await isBelieved(send('', { PORTKNOCK_KEY: text.replaceAll('\n', '\r\n') }));
  });

  it('with the agent that holds the key, and only then', async () => {
    assert.equal((await send('', agentEnv())).code, 2);
    await place.tool('ssh-add', ['-q', place.path('alice')], agentEnv());
    await isBelieved(send('', agentEnv()));
    await place.tool('ssh-add', ['-q', '-d', place.path('alice')], agentEnv());
  });

  it('with a usual file that has the key, behind an agent that has it not', async () => {
    await copyFile(place.path('alice'), place.path('home', '.ssh', 'id_ed25519'));
    await isBelieved(send('', agentEnv()));
    await rename(place.path('home', '.ssh', 'id_ed25519'), place.path('home', '.ssh', 'portknock_ed25519'));
    await isBelieved(send('', { SSH_AUTH_SOCK: place.path('nobody') }));
  });

  it('not with a usual file of another key, and says what is missing where', async () => {
    await copyFile(place.path('other'), place.path('home', '.ssh', 'id_ed25519'));
    const home = place.path('home', '.ssh');
    const where = `and it is not ${home}/id_ed25519 or ${home}/portknock_ed25519 (ssh-add it, or name it with -i FILE)`;
    const rows: readonly [env: NodeJS.ProcessEnv, why: string][] = [
      [{}, 'there is no ssh-agent (SSH_AUTH_SOCK is not set)'],
      [agentEnv(), 'the ssh-agent does not have it, or is locked (ssh-add -X)'],
      [{ SSH_AUTH_SOCK: '/nobody' }, 'no ssh-agent answers at /nobody'],
    ];
    for (const [env, why] of rows) {
      assert.deepEqual(await send('', env), {
        code: 2,
        out: '',
        err: `portknock: private key of ${fingerprint} alice@laptop is not found: ${why}, ${where}\n`,
      });
    }
  });

  const refusals: readonly [what: string, words: string, message: (print: string) => RegExp][] = [
    [
      'another key',
      '-i other',
      (print) =>
        new RegExp(
          `^portknock: private key is not that of the profile: other is not ${print} alice@laptop, and is SHA256:\\S+ \\(name the right one\\)\n$`,
          'u',
        ),
    ],
    [
      'a public key',
      '-i alice.pub',
      () => /^portknock: private key cannot be used: it is a public key \(.*\)\n$/u,
    ],
    ['an RSA key', '-i rsa', () => /^portknock: private key cannot be used: it is a key of type .*\n$/u],
    [
      'a file that is not there',
      '-i none',
      () => /^portknock: private key cannot be read: none: there is no such file /u,
    ],
    [
      'a file that others can read',
      '-i open',
      () => /^portknock: private key can be read by others: open \(chmod 600 open\)\n$/u,
    ],
    [
      'an encrypted file, without a terminal',
      '-i sealed',
      () =>
        /^portknock: passphrase of sealed is needed, and there is no terminal to ask on \(set PORTKNOCK_PASSPHRASE, .*\)\n$/u,
    ],
  ];
  for (const [what, words, message] of refusals) {
    it(`not with ${what}`, async () => {
      await copyFile(place.path('alice'), place.path('open'));
      await chmod(place.path('open'), 0o644);
      const { code, err } = await place.runDetached(['send', '-p', 'alice.knock', ...words.split(' ')]);
      assert.equal(code, 2);
      assert.match(err, message(fingerprint.replaceAll('+', '\\+')));
    });
  }

  it('not with a wrong PORTKNOCK_PASSPHRASE', async () => {
    const { code, err } = await send('-i sealed', { PORTKNOCK_PASSPHRASE: 'wrong' });
    assert.deepEqual([code, err], [2, 'portknock: passphrase of the private key is wrong (type it again)\n']);
  });

  it('not for a profile that has no public key', async () => {
    await gateway.writeProfile(place.path('shared.knock'), Buffer.alloc(32, 9));
    assert.deepEqual(await place.run('portknock send -p shared.knock -i alice'), {
      code: 2,
      out: '',
      err: 'portknock: -i needs a profile with a public key, and this one has a secret of its own\n',
    });
  });

  it('after asking for the passphrase on the terminal, up to three times, without showing it', async () => {
    const terminal = new OnTerminal(place, ['portknock', 'send', '-p', 'alice.knock', '-i', 'sealed']);
    await terminal.answer('passphrase of sealed: ', 'wrong\r');
    // Line editing: a character taken back, and a line.
    await terminal.answer('passphrase of sealed: ', `no\u0015${PASSPHRASE}x\u007f\r`, 2);
    assert.deepEqual(await terminal.end(), { code: 0, restored: true });
    assert.ok(!terminal.screen.includes('horse') && !terminal.screen.includes('wrong'), terminal.screen);
  });

  it('not after three wrong ones', async () => {
    const terminal = new OnTerminal(place, ['portknock', 'send', '-p', 'alice.knock', '-i', 'sealed']);
    for (const times of [1, 2, 3]) await terminal.answer('passphrase of sealed: ', 'wrong\r', times);
    assert.deepEqual(await terminal.end(), { code: 2, restored: true });
    assert.match(terminal.screen, /portknock: passphrase of the private key is wrong \(type it again\)/u);
  });

  for (const [key, typed, code] of [
    ['Ctrl-C', '\u0003', 130],
    ['Ctrl-\\', '\u001c', 131],
    ['Ctrl-D', '\u0004', 2],
  ] as const) {
    it(`not after ${key}, which leaves the terminal as it was`, async () => {
      const terminal = new OnTerminal(place, ['portknock', 'send', '-p', 'alice.knock', '-i', 'sealed']);
      await terminal.answer('passphrase of sealed: ', typed);
      assert.deepEqual(await terminal.end(), { code, restored: true });
    });
  }
});
