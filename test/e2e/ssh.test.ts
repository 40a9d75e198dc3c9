// The main job with everything real: our commands make the configuration and the profile, a real ssh reaches a real
// sshd through one knock, and its session outlives the opening, the daemon and kill -9.

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { Gateway, type Site } from '../support/gateway.ts';
import { createWorld, type Finished, type Namespace, type World } from '../support/netns.ts';
import { programArgs } from '../support/programs.ts';
import { startSshd, type Sshd } from '../support/sshd.ts';
import { granted } from './granted.ts';
import { describeInNamespaces, pause } from './support.ts';

for (const firewall of ['iptables', 'nftables'] as const)
  describeInNamespaces(`ssh to a hidden sshd (${firewall})`, function () {
    this.timeout(180_000);
    let world: World;
    let sshd: Sshd;
    let folder: string;
    let site: Pick<Site, 'config'>;
    let gateway: Gateway;

    before(async () => {
      world = await createWorld();
      sshd = await startSshd(world.gateway);
      folder = await mkdtemp(join(tmpdir(), 'portknock-ssh-'));
      site = { config: join(folder, 'portknockd.yaml') };
      await portknock(world.gateway, [
        'init',
        '--dir',
        folder,
        // The namespace shares this host's accounts.
        '--user',
        'root',
        '--service',
        'ssh=22',
        '--interface',
        world.device,
      ]);
      await portknock(world.gateway, [
        ...[
          'add-client',
          'laptop',
          '--one-time',
          '--services',
          'ssh',
          '--host',
          world.address[4],
          '--config',
          site.config,
        ],
      ]);
      const text = await readFile(site.config, 'utf8');
      await writeFile(site.config, text.replace('firewall: iptables', `firewall: ${firewall}`));
      gateway = await Gateway.start(world, site);
    });

    after(async () => {
      await gateway.end('SIGKILL');
      await sshd.stop();
      await world.destroy();
      await rm(folder, { recursive: true });
    });

    const portknock = (space: Namespace, args: readonly string[]): Promise<string> =>
      space.must('env', [
        `XDG_STATE_HOME=${folder}/client`,
        process.execPath,
        ...programArgs('portknock'),
        ...args,
      ]);
    const knock = (...more: readonly string[]): Promise<string> =>
      portknock(world.outside, ['send', '-p', join(folder, 'laptop.knock'), ...more]);
    const ssh = (command: string): Promise<Finished> =>
      world.outside.run('ssh', [...sshd.sshArgs, world.address[4], command], { timeoutMs: 60_000 });

    it('is refused without a knock, runs a command after one, and is refused again', async () => {
      assert.equal((await ssh('echo hidden')).status, 255);
      await granted(gateway, knock);
      assert.deepEqual(await ssh('echo hidden'), { status: 0, signal: null, stdout: 'hidden\n', stderr: '' });
      assert.equal((await ssh('echo hidden')).status, 255);
    });

    it('is admitted after send --wait, once', async () => {
      await knock('ssh', '--wait', '--timeout', '60s');
      assert.equal((await ssh('echo waited')).stdout, 'waited\n');
      assert.equal((await ssh('echo waited')).status, 255);
    });

    it('keeps its session through a stop, kill -9 and new starts', async () => {
      await granted(gateway, knock);
      const session = world.outside.spawn('ssh', [...sshd.sshArgs, world.address[4], 'cat'], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      assert.ok(session.stdout !== null && session.stdin !== null);
      const lines: Interface = createInterface({ input: session.stdout });
      const answers = lines[Symbol.asyncIterator]();
      const lives = async (when: string): Promise<void> => {
        session.stdin?.write(`${when}\n`);
        const answer = await Promise.race([answers.next(), pause(20_000)]);
        assert.equal(answer?.value, when);
      };
      await lives('at once');
      await gateway.end('SIGTERM');
      await lives('after a stop');
      gateway = await Gateway.start(world, site);
      await lives('after a new start');
      await gateway.end('SIGKILL');
      await lives('after kill -9');
      gateway = await Gateway.start(world, site);
      await lives('after another start');
      assert.equal((await ssh('echo second')).status, 255);
      session.stdin.end();
    });
  });
