// Three commands from nothing to a knock, each printing the next; and what add-client says of a running gateway.

import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { freePort } from '../support/ports.ts';
import { Lines, Place, type Outcome } from './support.ts';

const CONFIG = 'gw/portknockd.yaml';

describe('onboarding', function () {
  this.timeout(60_000);
  let place: Place;
  let daemon: ChildProcess | null = null;

  beforeEach(async () => {
    place = await Place.make();
    await mkdir(place.path('home', '.ssh'), { recursive: true });
    const key = place.path('home', '.ssh', 'id_ed25519');
    await place.tool('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'alice@laptop', '-f', key]);
    await writeFile(place.path('alice.pub'), await readFile(`${key}.pub`));
  });

  afterEach(async () => {
    if (daemon !== null) {
      const gone = once(daemon, 'close');
      daemon.kill('SIGTERM');
      await gone;
    }
    daemon = null;
    await place.remove();
  });

  /** A gateway that needs no root: a bound port in place of a capture. */
  async function init(services = '--service ssh=22'): Promise<Outcome> {
    const outcome = await place.run(`portknock init --dir gw --gateway 127.0.0.1 --interface lo ${services}`);
    const path = place.path(CONFIG);
    const port = await freePort();
    const text = (await readFile(path, 'utf8'))
      .replace(/interface: lo/u, `socket: 127.0.0.1:${port}`)
      .replace(/knock_port: \d+/u, `knock_port: ${port}`)
      .replace('firewall: iptables', 'firewall: mock');
    await writeFile(path, text);
    return outcome;
  }

  async function startDaemon(): Promise<Lines> {
    daemon = place.start('portknockd', ['--config', CONFIG]);
    assert.ok(daemon.stdout !== null);
    const lines = new Lines(daemon.stdout);
    await lines.find((line) => line.includes(' ready '));
    return lines;
  }

  const add = (words: string, env: NodeJS.ProcessEnv = {}, input?: string): Promise<Outcome> =>
    place.run(`portknock add-client ${words} --config ${CONFIG}`, env, input);

  it('takes three commands, each of which prints the next', async () => {
    const first = await init('--service ssh=22');
    const second = /^ {2}portknock (.*)$/mu.exec(first.err)?.[1]?.replaceAll('NAME', 'alice') ?? '';
    assert.equal(second, `add-client alice --key alice.pub --config ${place.path(CONFIG)}`);
    await startDaemon();
    const added = await place.run(`portknock ${second}`);
    assert.equal(added.code, 0);
    const profile = place.path('gw', 'alice.knock');
    assert.deepEqual(added.err.split('\n'), [
      'portknockd has taken it up',
      `next: take ${profile} to the client, and there:`,
      "  ssh -o ProxyCommand='portknock connect -p alice.knock %h %p' 127.0.0.1",
      '',
    ]);
    assert.deepEqual(added.out.trim().split('\n').sort(), [profile, place.path(CONFIG)].sort());
    assert.equal((await stat(profile)).mode & 0o777, 0o600);
    assert.match(
      await readFile(place.path(CONFIG), 'utf8'),
      /# what clients call this host[^]*alice: .*alice@laptop/u,
    );
  });

  it('ends in a knock that the gateway accepts, which was running all the time', async () => {
    await init('--service web=8080');
    const lines = await startDaemon();
    const { err } = await add('alice --key alice.pub');
    assert.match(err, /\n {2}portknock send -p alice\.knock web --wait\n$/u);
    assert.equal((await place.run('portknock send -p gw/alice.knock web')).code, 0);
    assert.match(
      await lines.find((line) => line.includes(' grant ')),
      / client=alice service=web port=8080 .* scheme=spa$/u,
    );
  });

  it('takes a public key from standard input, and a shared secret, for some services', async () => {
    await init('--service ssh=22 --service web=8080');
    const lines = await startDaemon();
    const line = await readFile(place.path('alice.pub'), 'utf8');
    assert.equal((await add('alice --key - --services web --bind exact', {}, line)).code, 0);
    assert.equal((await add('bob --psk')).code, 0);
    for (const [name, services, bind] of [
      ['alice', { web: 8080 }, 'exact'],
      ['bob', { ssh: 22, web: 8080 }, 'observed'],
    ] as const) {
      const text = await readFile(place.path('gw', `${name}.knock`), 'utf8');
      const profile = JSON.parse(text) as Record<string, unknown>;
      assert.deepEqual([profile.services, profile.bind], [services, bind]);
      assert.equal((await place.run(`portknock send -p gw/${name}.knock web`)).code, 0);
      await lines.find((each) => each.includes(` grant `) && each.includes(`client=${name} service=web`));
    }
  });

  it('puts the profile under a password with --seal', async () => {
    await init();
    const given = { PORTKNOCK_PASSWORD: 'staple battery' };
    assert.equal((await add('alice --key alice.pub --seal', given)).code, 0);
    const text = await readFile(place.path('gw', 'alice.knock'), 'utf8');
    assert.ok(text.includes('"sealed"') && !text.includes('127.0.0.1'));
    assert.equal((await place.run('portknock send -p gw/alice.knock', given)).code, 0);
  });

  it('says how to start a gateway that is not running', async () => {
    await init();
    const { code, err } = await add('alice --psk');
    assert.equal(code, 0);
    assert.ok(
      err.startsWith(`no portknockd is running; start it: portknockd --config ${CONFIG}\nnext: `),
      err,
    );
  });

  it('exits 1 and says why when the running gateway does not take it up', async () => {
    await init();
    await startDaemon();
    const text = await readFile(place.path(CONFIG), 'utf8');
    await writeFile(place.path(CONFIG), text.replace('firewall: mock', 'firewall: iptables'));
    const { code, err } = await add('alice --psk');
    assert.equal(code, 1);
    assert.match(
      err,
      /^firewall cannot change [^\n]*\nportknockd did not take it up, and keeps its old rules /u,
    );
  });

  const refusals: readonly [what: string, words: string, input: string | undefined, message: RegExp][] = [
    [
      'a private key',
      'eve --key home/.ssh/id_ed25519',
      undefined,
      /^portknock: public key cannot be used: home\/\.ssh\/id_ed25519 holds a private key \(it should never leave the client; take its \.pub instead\)\n$/u,
    ],
    [
      'a file that is not there',
      'eve --key none.pub',
      undefined,
      /^portknock: public key cannot be read: none\.pub: there is no such file \(check the path\)\n$/u,
    ],
    [
      'several keys',
      'eve --key -',
      'ssh-ed25519 AAAA\nssh-ed25519 AAAB\n',
      /^portknock: public key cannot be used: standard input has 2 lines \(give the one line of a FILE\.pub\)\n$/u,
    ],
    ['no key', 'eve --key -', '\n', /^portknock: public key cannot be used: standard input has 0 lines /u],
    [
      'a key of another type',
      'eve --key -',
      'ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ== eve\n',
      /^portknock: [^\n]*ssh-ed25519[^\n]*\n$/u,
    ],
    [
      'a service that is not there',
      'eve --psk --services ssx',
      undefined,
      /^portknock: services must be among ssh, got 'ssx'\n$/u,
    ],
  ];
  for (const [what, words, input, message] of refusals) {
    it(`refuses ${what}, exits 2 and leaves everything as it is`, async () => {
      await init();
      const before = await readFile(place.path(CONFIG), 'utf8');
      const { code, err } = await add(words, {}, input);
      assert.match(err, message);
      assert.equal(code, 2);
      assert.equal(await readFile(place.path(CONFIG), 'utf8'), before);
      await assert.rejects(stat(place.path('gw', 'eve.knock')), { code: 'ENOENT' });
    });
  }

  it('does without a terminal for the password that --seal needs: nothing is changed then', async () => {
    await init();
    await chmod(place.path(CONFIG), 0o600);
    const words = `add-client eve --psk --seal --config ${CONFIG}`.split(' ');
    const { code, err } = await place.runDetached(words);
    assert.equal(code, 2);
    assert.match(err, /^portknock: password of eve\.knock is needed, and there is no terminal to ask on /u);
    await assert.rejects(stat(place.path('gw', 'eve.knock')), { code: 'ENOENT' });
  });
});
