// Single packets with everything real: OpenSSH's client, agent, keys and server, scp and rsync, through
// `portknock connect` as their ProxyCommand, on both families.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmod, copyFile, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { sealProfile } from '../../lib/knocker.ts';
import { startAgent, type Agent } from '../support/agent.ts';
import { Gateway } from '../support/gateway.ts';
import { Machine, type CommandOptions } from '../support/machine.ts';
import { createWorld, type Finished, type World } from '../support/netns.ts';
import { sshKeygen, startSshAgent, writePrivate, type SshAgent } from '../support/ssh-tools.ts';
import { startSshd, type Sshd } from '../support/sshd.ts';
import { describeInNamespaces, pause, until } from './support.ts';

const PASSPHRASE = 'correct horse battery';
const CONFIG = '/etc/portknock/portknockd.yaml';
const OPEN_FOR_MS = 3000;

describeInNamespaces('ssh through single packets', function () {
  this.timeout(180_000);
  let world: World;
  let gate: Machine;
  let laptop: Machine;
  let sshd: Sshd;
  let agent: SshAgent;
  let echo: Agent;
  let gateway: Gateway;
  const profiles = { shared: '', sealed: '' };

  before(async () => {
    world = await createWorld();
    gate = await Machine.create(world.gateway, { name: 'gw.example' });
    laptop = await Machine.create(world.outside, {
      name: 'laptop',
      hosts: { 'gw.example': [world.address[4], world.address[6]] },
    });
    sshd = await startSshd(world.gateway);
    await laptop.configureSsh(sshd.sshArgs);
    await makeClients();
    agent = await startSshAgent(laptop.path('agent'));
    agent.add('-q', laptop.path('alice'));
    echo = await startAgent(world.gateway);
    await echo.echo({ port: 7007 });
    gateway = await Gateway.start({ gateway: gate }, { config: CONFIG });
  });

  after(async () => {
    await gateway?.end('SIGKILL');
    await Promise.all([echo?.stop(), agent?.stop(), sshd?.stop()]);
    await Promise.all([gate?.destroy(), laptop?.destroy()]);
    await world.destroy();
  });

  async function makeClients(): Promise<void> {
    await gate.must(`portknock init --service ssh=22 --service echo=7007 --interface ${world.device}`);
    const config = gate.etc('portknock/portknockd.yaml');
    await writeFile(config, (await readFile(config, 'utf8')).replace('open_for: 30s', 'open_for: 3s'));
    sshKeygen(laptop.path('alice'));
    sshKeygen(laptop.path('locked'), { passphrase: PASSPHRASE, args: ['-a', '4'] });
    for (const name of ['alice', 'locked']) {
      await gate.must(
        `portknock add-client ${name} --key ${laptop.path(`${name}.pub`)} --services ssh,echo --out ${laptop.path(`${name}.knock`)}`,
      );
    }
    await gate.must(`portknock add-client deploy --psk --services ssh --out ${laptop.path('deploy.knock')}`);
    profiles.shared = await readFile(laptop.path('deploy.knock'), 'utf8');
    profiles.sealed = await sealProfile(profiles.shared, PASSPHRASE);
    await rm(laptop.path('deploy.knock'));
  }

  const withAgent = (): NodeJS.ProcessEnv => ({ SSH_AUTH_SOCK: agent.socketPath });
  const AGENT = 'portknock connect -p alice.knock %h %p';
  const ways: readonly { title: string; proxy: string; env: () => NodeJS.ProcessEnv }[] = [
    { title: 'a key in ssh-agent', proxy: AGENT, env: withAgent },
    { title: 'a key file', proxy: 'portknock connect -p alice.knock -i alice %h %p', env: () => ({}) },
    {
      title: 'a key file under a passphrase',
      proxy: 'portknock connect -p locked.knock -i locked %h %p',
      env: () => ({ PORTKNOCK_PASSPHRASE: PASSPHRASE }),
    },
    {
      title: 'a shared key from the environment',
      proxy: 'portknock connect %h %p',
      env: () => ({ PORTKNOCK_PROFILE: profiles.shared }),
    },
  ];

  const through = (proxy: string): string => `-o ProxyCommand='${proxy}'`;
  const plain = (family: 4 | 6): Promise<Finished> => laptop.sh(`ssh ${world.address[family]} true`);
  const knocked = (host: string, command: string, options: CommandOptions): Promise<Finished> =>
    laptop.sh(`ssh ${through(AGENT)} ${host} '${command}'`, { timeoutMs: 60_000, ...options });

  /** Until nothing is open: a knock may have been repeated, and then one opening waits for its end. */
  async function allClosed(): Promise<void> {
    const count = gateway.of('grant').length;
    if (count > 0) await gateway.wait('close', { count, timeoutMs: 60_000 });
  }

  /** Once nothing is open; again, when a repeated knock has opened meanwhile. */
  async function isRefused(family: 4 | 6): Promise<void> {
    for (let grants = -1; grants < gateway.of('grant').length;) {
      grants = gateway.of('grant').length;
      await allClosed();
      const { status } = await plain(family);
      if (grants === gateway.of('grant').length) assert.equal(status, 255);
    }
  }

  for (const family of [4, 6] as const) {
    for (const { title, proxy, env } of ways) {
      it(`runs a command over IPv${family} with ${title}, and is refused before and after`, async () => {
        await isRefused(family);
        const ran = await laptop.sh(
          `ssh ${through(proxy)} ${world.address[family]} 'echo "\${SSH_CONNECTION%% *}"; exit 7'`,
          { env: env(), timeoutMs: 60_000 },
        );
        assert.deepEqual(ran, { status: 7, signal: null, stdout: `${world.client[family]}\n`, stderr: '' });
        await isRefused(family);
      });
    }
  }

  it('runs a command with a profile that is sealed by a password', async () => {
    const env = { PORTKNOCK_PROFILE: profiles.sealed, PORTKNOCK_PASSWORD: PASSPHRASE };
    const ran = await laptop.sh(
      `ssh ${through('portknock connect %h %p')} ${world.address[4]} 'echo sealed'`,
      { env, timeoutMs: 60_000 },
    );
    assert.deepEqual(ran, { status: 0, signal: null, stdout: 'sealed\n', stderr: '' });
  });

  it('finds the gateway by its name', async () => {
    const ran = await knocked('gw.example', 'echo named', { env: withAgent() });
    assert.deepEqual(ran, { status: 0, signal: null, stdout: 'named\n', stderr: '' });
  });

  it('copies 50 MB with scp, there and back', async () => {
    const copy = join(gate.home, 'copy');
    await laptop.must('head -c 50000000 /dev/urandom >big');
    const scp = `scp -q ${through(AGENT)}`;
    const sum = async (path: string): Promise<string> =>
      (await laptop.must(`sha256sum <'${path}'`)).stdout.slice(0, 64);
    await laptop.must(`${scp} big ${world.address[4]}:${copy}`, { env: withAgent() });
    await laptop.must(`${scp} '[${world.address[6]}]:${copy}' back`, { env: withAgent() });
    const sums = await Promise.all([laptop.path('big'), copy, laptop.path('back')].map(sum));
    assert.deepEqual(sums, Array<string>(3).fill(sums[0] ?? ''));
    for (const each of [laptop.path('big'), laptop.path('back'), copy]) await rm(each);
  });

  it('mirrors a folder with rsync -e, and brings it up to date', async () => {
    await mkdir(laptop.path('site/deep/er'), { recursive: true });
    await symlink('deep/er', laptop.path('site/link'));
    for (let file = 0; file < 200; file += 1)
      await writeFile(laptop.path(`site/deep/er/file ${file}`), `${file}\n`.repeat(file));
    await writeFile(laptop.path('site/run'), '#!/bin/sh\n');
    await chmod(laptop.path('site/run'), 0o750);
    const mirror = join(gate.home, 'mirror');
    const rsync = `rsync -a --delete -i -e "ssh ${through(AGENT)}" site/ '[${world.address[6]}]:${mirror}/'`;
    await laptop.must(rsync, { env: withAgent() });
    await laptop.must(`diff -r --no-dereference site '${mirror}' && test -x '${mirror}/run'`);
    await rm(laptop.path('site/deep/er/file 7'));
    await writeFile(laptop.path('site/run'), 'changed');
    const { stdout } = await laptop.must(rsync, { env: withAgent() });
    assert.match(stdout, /^\*deleting +deep\/er\/file 7$/mu);
    assert.equal(stdout.split('\n').filter((line) => line.startsWith('<f')).length, 1, stdout);
    await laptop.must(`diff -r --no-dereference site '${mirror}'`);
  });

  it('needs no word about it once it stands in ~/.ssh/config as in examples/ssh-config', async () => {
    const text = await readFile('examples/ssh-config/README.md', 'utf8');
    const [, block = '', why = ''] =
      /^```ssh_config\n([^]*?)^```$[^]*?^```sh\n([^]*?)^```$/mu.exec(text) ?? [];
    const config = await readFile(laptop.path('.ssh/config'), 'utf8');
    await writeFile(laptop.path('.ssh/config'), `${block}\n${config}`);
    await copyFile(laptop.path('alice.knock'), laptop.path('.ssh/gw.knock'));
    await copyFile(laptop.path('alice'), laptop.path('.ssh/id_ed25519'));
    try {
      const grants = gateway.of('grant').length;
      for (const word of ['one', 'two']) {
        const ran = await laptop.sh(`ssh gw.example 'echo ${word}'`, { timeoutMs: 60_000 });
        assert.deepEqual([ran.status, ran.stdout], [0, `${word}\n`], ran.stderr);
        // The second needs no knock.
        await rm(laptop.path('.ssh/gw.knock'), { force: true });
      }
      assert.ok(gateway.of('grant').length > grants);
      await copyFile(laptop.path('alice.knock'), laptop.path('.ssh/gw.knock'));
      await laptop.must('ssh -q -O exit gw.example');
      await rm(laptop.path('.ssh/id_ed25519'));
      const { status, stderr } = await laptop.sh(why);
      assert.equal(status, 255);
      assert.match(stderr, /private key of SHA256:\S+ .*not found/u);
    } finally {
      await rm(laptop.path('.ssh/id_ed25519'), { force: true });
      await writeFile(laptop.path('.ssh/config'), config);
    }
  });

  it('keeps a session long after the opening has ended', async () => {
    const line = `exec ssh ${through(AGENT)} ${world.address[4]} cat`;
    const session = laptop.spawn('sh', ['-c', line], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: withAgent(),
    });
    const answers = createInterface({ input: session.stdout! })[Symbol.asyncIterator]();
    const lives = async (when: string): Promise<void> => {
      session.stdin?.write(`${when}\n`);
      const answer = await Promise.race([answers.next(), pause(20_000)]);
      assert.equal(answer?.value, when);
    };
    await lives('at once');
    await pause(OPEN_FOR_MS + 1000);
    await lives('after the time of an opening');
    const ended = once(session, 'exit');
    session.stdin?.end();
    assert.deepEqual(await ended, [0, null]);
  });

  it('leaves no process behind when its ssh is killed', async () => {
    const proxy = `portknock connect -p ${laptop.path('alice.knock')} %h %p`;
    const session = laptop.spawn('sh', ['-c', `exec ssh ${through(proxy)} ${world.address[4]} cat`], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: withAgent(),
    });
    session.stdin?.write('hello\n');
    await once(session.stdout!, 'data');
    const processes = async (): Promise<string[]> => {
      const { stdout } = await laptop.run('pgrep', ['-f', `connect -p ${laptop.path('alice.knock')}`]);
      return stdout.split('\n').filter((pid) => pid !== '');
    };
    assert.equal((await processes()).length, 2, 'ssh and its ProxyCommand');
    session.kill('SIGKILL');
    await once(session, 'exit');
    await until('both are gone', async () => (await processes()).length === 0);
  });

  it('puts nothing but the stream on standard output, and half-closes', async () => {
    await laptop.must('head -c 3000000 /dev/urandom >sent');
    const line = `portknock connect -p alice.knock -i alice ${world.address[4]} 7007 <sent >received`;
    const ran = await laptop.must(line, { timeoutMs: 60_000 });
    assert.equal(ran.stderr, '');
    await laptop.must('cmp sent received');
  });

  describe('says what to do, with exit code 2 and without a knock', () => {
    const fingerprint = async (key: string): Promise<string> =>
      (await laptop.must(`ssh-keygen -lf ${key}.pub`)).stdout.split(' ')[1] ?? '';
    const send = async (args: string, env: NodeJS.ProcessEnv): Promise<string> => {
      const heard = (): number => gateway.of('grant').length + gateway.of('reject').length;
      const before = heard();
      const ran = await laptop.sh(`portknock send ${args}`, { env });
      assert.deepEqual([ran.status, ran.stdout], [2, ''], ran.stderr);
      assert.equal(heard(), before);
      return ran.stderr;
    };

    it('when the agent does not have the key: its fingerprint, and ssh-add', async () => {
      const said = await send('-p locked.knock ssh', withAgent());
      assert.ok(said.includes(await fingerprint('locked')), said);
      assert.match(said, /ssh-add/u);
    });

    it('when there is no agent at that place', async () => {
      assert.match(
        await send('-p alice.knock ssh', { SSH_AUTH_SOCK: laptop.path('gone') }),
        /no ssh-agent answers at .*gone/u,
      );
    });

    it('when the agent is locked', async () => {
      await laptop.install('askpass', '#!/bin/sh\necho secret\n');
      const env = { ...withAgent(), SSH_ASKPASS: join(laptop.bin, 'askpass'), SSH_ASKPASS_REQUIRE: 'force' };
      await laptop.must('ssh-add -x', { env });
      try {
        assert.match(await send('-p alice.knock ssh', withAgent()), /ssh-add -X/u);
      } finally {
        await laptop.must('ssh-add -X', { env });
      }
    });

    it('when there is neither an agent nor a key file', async () => {
      assert.match(await send('-p alice.knock ssh', {}), /-i|SSH_AUTH_SOCK/u);
    });

    it("when the key file is not the profile's key", async () => {
      const said = await send('-p alice.knock -i locked ssh', { PORTKNOCK_PASSPHRASE: PASSPHRASE });
      assert.match(said, /key/u);
    });

    it('when the passphrase is wrong', async () => {
      const said = await send('-p locked.knock -i locked ssh', { PORTKNOCK_PASSPHRASE: 'guess' });
      assert.match(said, /passphrase/u);
      assert.doesNotMatch(said, /guess/u);
    });

    it('when the key file can be read by others', async () => {
      writePrivate(laptop.path('shown'), await readFile(laptop.path('alice'), 'utf8'));
      await chmod(laptop.path('shown'), 0o644);
      assert.match(await send('-p alice.knock -i shown ssh', {}), /chmod 600/u);
    });
  });
});
