// The README typed: somebody who knows ssh and nothing else types its "Three commands" at two machines, in their order
// and as they stand there, and gets to an sshd that nobody else can see. Only programs outside look on.

import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { installed } from '../consumer/installed.ts';
import { describeInNamespaces } from '../e2e/support.ts';
import { Machine } from '../support/machine.ts';
import { createWorld, type World } from '../support/netns.ts';
import type { Sshd } from '../support/sshd.ts';
import { blocksOf, readPage } from './blocks.ts';
import { grantOf, takeBack } from './pages.ts';
import { registryUrl, startRegistry } from './registry.ts';
import { Shell } from './shell.ts';
import { sshdOn } from './stage.ts';

type Place = 'gateway' | 'laptop';

/** What the README has typed, in its order. */
const README = readPage('README.md').replace(/\s+/gu, ' ');
const SECTION = /^## Three commands\n[^]*?(?=^## )/mu.exec(readPage('README.md'))?.[0] ?? '';
const STEPS = blocksOf('README.md', SECTION).map(({ before, text }) => ({
  where: (/\bOn the (gateway|laptop)\b/u.exec(before)?.[1] ?? 'nowhere') as Place,
  commands: text.trim().split('\n'),
}));

/** As servers on the Internet have it: what is not named is dropped. */
const DEFAULT_DROP = [
  '*filter',
  ':INPUT DROP [0:0]',
  '-A INPUT -i lo -j ACCEPT',
  '-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT',
  '-A INPUT -p icmp -j ACCEPT',
  '-A INPUT -p tcp --dport 22 -j ACCEPT',
  'COMMIT',
  '',
].join('\n');

describeInNamespaces('the README typed, on a host that drops what it does not know', function () {
  this.timeout(300_000);
  let world: World;
  let folder: string;
  let gateway: Machine;
  let laptop: Machine;
  let sshd: Sshd;
  let registry: { stop(): Promise<void> };
  const shells: Shell[] = [];

  before(async () => {
    const { folder: consumer } = await installed();
    world = await createWorld();
    folder = await mkdtemp(join(tmpdir(), 'portknock-typed-'));
    const hosts = { 'gw.example': [world.address[4]] };
    // What the provider called it is not what its owner calls it.
    gateway = await Machine.create(world.gateway, { name: 'vps-1234' });
    laptop = await Machine.create(world.outside, { name: 'laptop', hosts });
    await world.gateway.must('ip', ['route', 'add', 'default', 'via', world.client[4]]);
    sshd = await sshdOn(world, gateway);
    const address = world.client[4];
    registry = await startRegistry(world.outside, { folder, consumer, address });
    for (const machine of [gateway, laptop]) {
      const prefix = dirname(machine.bin);
      for (const name of ['portknock', 'portknockd']) await rm(join(machine.bin, name));
      const settings = [`registry=${registryUrl(address)}`, `prefix=${prefix}`, 'ignore-scripts=true'];
      await writeFile(machine.path('.npmrc'), [...settings, 'audit=false', ''].join('\n'));
    }
    await mkdir(laptop.path('.ssh'), { mode: 0o700 });
    await writeFile(laptop.path('.ssh/id_ed25519'), sshd.userKey, { mode: 0o600 });
    await laptop.must('ssh-keygen -y -f .ssh/id_ed25519 >.ssh/id_ed25519.pub');
    await chmod(laptop.path('.ssh/id_ed25519.pub'), 0o644);
    await gateway.must('iptables-restore', { input: DEFAULT_DROP });
  });

  after(async () => {
    await Promise.all(shells.map((shell) => shell.close()));
    await registry?.stop();
    await sshd?.stop();
    await Promise.all([gateway?.destroy(), laptop?.destroy()]);
    await world?.destroy();
    await rm(folder, { recursive: true, force: true });
  });

  const open = async (machine: Machine, name: string): Promise<Shell> => {
    const shell = await Shell.open(machine, name);
    shells.push(shell);
    return shell;
  };
  /** What a scan sees of port 22. */
  const looks = async (): Promise<string> => {
    const args = ['-n', '-Pn', '--max-retries', '1', '-p', '22', '-oG', '-', world.address[4]];
    return /22\/(\w+)\//u.exec(await world.outside.must('nmap', args))?.[1] ?? 'unseen';
  };

  it('leads to a hidden sshd', async () => {
    assert.deepEqual(
      STEPS.map(({ where }) => where),
      ['laptop', 'gateway', 'laptop', 'gateway', 'laptop'],
    );
    assert.equal(await looks(), 'open');
    const at = { gateway: await open(gateway, 'gw'), laptop: await open(laptop, 'laptop') };
    let earlier: Shell | undefined;
    for (const { where, commands } of STEPS) {
      for (const command of commands) {
        if (command === 'portknockd') {
          // Logged in as always, before anything is closed.
          earlier = await open(laptop, 'earlier');
          const from = earlier.start('ssh root@gw.example');
          await earlier.wait(/# $/u, from);
          assert.equal(await looks(), 'open');
          await at.gateway.wait(/ ready /u, at.gateway.start(command));
          assert.equal(await looks(), 'filtered');
        } else if (command.startsWith('ssh ')) {
          const { status } = await laptop.sh('ssh -o ConnectTimeout=1 root@gw.example true');
          assert.equal(status, 255, 'without a knock');
          const from = at.laptop.start(command);
          await at.laptop.wait(/# $/u, from);
          await at.laptop.wait(/vps-1234\n/u, at.laptop.start('hostname'));
          assert.equal(await looks(), 'filtered');
        } else {
          const { status, said } = await at[where].type(command, [
            [/\(yes\/no\/\[fingerprint\]\)\? /u, 'yes'],
          ]);
          assert.equal(status, 0, `${command}: ${said}`);
        }
      }
    }
    assert.ok(earlier !== undefined);
    await earlier.wait(/still here\n/u, earlier.start('echo still here'));
    // A client that is slow to get in knocks again; otherwise the one connection has to be enough.
    if (at.gateway.screen.split(' grant ').length > 2) await takeBack(gateway);
    const second = await laptop.sh('ssh -o ConnectTimeout=1 root@gw.example true');
    assert.equal(second.status, 255, 'the knock was for one connection');
    assert.match(at.gateway.screen, / grant .*client=alice/u);
    assert.equal((await readFile(laptop.path('alice.knock'), 'utf8')).includes('PRIVATE'), false);
  });

  it('runs as two halves, and the one with the keys is not root', async () => {
    assert.match(
      README,
      /an account without rights, `portknock`: what reads packets and holds the keys runs as it/u,
    );
    const uid = Number((await gateway.must('id -u portknock')).stdout);
    assert.ok(uid > 0);
    assert.match((await gateway.must('ls -ln /etc/portknock/gateway.key')).stdout, /^-rw------- 1 0 0 /u);
    const running = (await gateway.must('ps -o pid=,ppid=,uid=,args= -C node,portknockd')).stdout
      .split('\n')
      .filter((line) => line.includes(gateway.bin));
    const halves = running.map((line) => line.trim().split(/\s+/u).map(Number));
    const [[root] = []] = halves.filter(([, , user]) => user === 0);
    const [verifier] = halves.filter(([, parent, user]) => parent === root && user === uid);
    assert.ok(verifier !== undefined, running.join('\n'));
    const status = await readFile(`/proc/${verifier[0]}/status`, 'utf8');
    for (const ids of ['Uid', 'Gid'])
      assert.doesNotMatch(status, new RegExp(`^${ids}:.*\\t0(?:\\t|$)`, 'mu'));
    assert.match(status, /^NoNewPrivs:\t1$/mu);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      assert.match(status, new RegExp(`^${set}:\\t0+$`, 'mu'));
    // It is this process that is spoken to.
    const socket = await gateway.must('ss -xlpH src /var/lib/portknock/portknockd.sock');
    assert.match(socket.stdout, new RegExp(`pid=${verifier[0]},`, 'u'));
  });

  it('tells how it is and who may connect, and takes that back', async () => {
    assert.match(README, /`portknock status` tells how the daemon is and why knocks were refused/u);
    assert.match((await gateway.must('portknock status')).stdout, /alice|grants?/u);
    await takeBack(gateway);
    await laptop.must('portknock send -p alice.knock ssh');
    const row = await grantOf(gateway, 'alice');
    assert.match(row, /^[0-9a-f]{8} +alice +ssh /u);
    await gateway.must(`portknock revoke ${row.slice(0, 8)}`);
    const refused = await laptop.sh('ssh -o ConnectTimeout=1 root@gw.example true');
    assert.equal(refused.status, 255);
  });

  it('takes a new client up by itself, and a changed configuration when it is told', async () => {
    assert.match(README, /A running daemon takes a new client up by itself/u);
    await laptop.must("ssh-keygen -q -t ed25519 -N '' -f bob");
    await writeFile(gateway.path('bob.pub'), await readFile(laptop.path('bob.pub')));
    await gateway.must('portknock add-client bob --key bob.pub');
    await writeFile(laptop.path('bob.knock'), await readFile(gateway.etc('portknock/bob.knock')), {
      mode: 0o600,
    });
    const proxy = "ProxyCommand='portknock connect -p bob.knock -i bob %h %p'";
    await laptop.must(`ssh -o ${proxy} root@gw.example true`);
    const file = gateway.etc('portknock/portknockd.yaml');
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace(/^ {2}bob:.*\n/mu, ''));
    await gateway.must('portknock reload');
    const out = await laptop.sh(`ssh -o ConnectTimeout=1 -o ${proxy} root@gw.example true`);
    assert.notEqual(out.status, 0);
  });

  it('is undone as it says', async () => {
    assert.match(SECTION, /`portknockd --teardown` removes\s+every\s+rule/u);
    const shell = shells[0]!;
    shell.interrupt();
    await shell.wait(/stay closed[^]*> $/u, 0);
    assert.notEqual(await looks(), 'open');
    assert.equal((await shell.type('portknockd --teardown')).status, 0);
    assert.equal(await looks(), 'open');
    assert.doesNotMatch((await gateway.must('iptables-save')).stdout, /portknock/iu);
  });
});
