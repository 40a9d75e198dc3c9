// From nothing to a shell in three commands, each of which prints the next; typed as they stand, on a gateway and a
// laptop with the usual places for their files.

import assert from 'node:assert/strict';
import { copyFile, mkdir, readFile, stat } from 'node:fs/promises';
import { Gateway } from '../support/gateway.ts';
import { Machine } from '../support/machine.ts';
import { createWorld, type Finished, type World } from '../support/netns.ts';
import { sshKeygen, startSshAgent } from '../support/ssh-tools.ts';
import { startSshd, type Sshd } from '../support/sshd.ts';
import { describeInNamespaces } from './support.ts';

const CONFIG = '/etc/portknock/portknockd.yaml';

describeInNamespaces('three commands', function () {
  this.timeout(240_000);
  let world: World;
  let gate: Machine;
  let laptop: Machine;
  let sshd: Sshd;
  let gateway: Gateway;
  let initialised: Finished;

  before(async () => {
    world = await createWorld();
    await world.gateway.must('ip', ['route', 'add', 'default', 'via', world.client[4]]);
    gate = await Machine.create(world.gateway, { name: 'gw.example' });
    laptop = await Machine.create(world.outside, {
      name: 'laptop',
      hosts: { 'gw.example': [world.address[4], world.address[6]] },
    });
    sshd = await startSshd(world.gateway);
    await laptop.configureSsh(sshd.sshArgs);
    initialised = await gate.must('portknock init --service ssh=22');
    gateway = await Gateway.start({ gateway: gate }, { config: CONFIG });
  });

  after(async () => {
    await gateway?.end('SIGKILL');
    await sshd?.stop();
    await Promise.all([gate?.destroy(), laptop?.destroy()]);
    await world.destroy();
  });

  /** The command that another one said is the next. */
  function nextOf({ stderr }: Finished): string {
    const [, command] = /^next: .*\n {2}(\S.*)$/mu.exec(stderr) ?? [];
    return command ?? assert.fail(`no next command: ${stderr}`);
  }

  const refused = async (): Promise<void> => {
    // Again, when a repeated knock has opened meanwhile.
    for (let count = -1; count < gateway.of('grant').length;) {
      count = gateway.of('grant').length;
      if (count > 0) await gateway.wait('close', { count, timeoutMs: 60_000 });
      const { status } = await laptop.sh('ssh gw.example true');
      if (count === gateway.of('grant').length) assert.equal(status, 255);
    }
  };
  const shell = async (command: string, env = {}): Promise<void> => {
    const ran = await laptop.sh(`${command} echo in`, { env, timeoutMs: 60_000 });
    assert.deepEqual(ran, { status: 0, signal: null, stdout: 'in\n', stderr: '' });
  };

  it('bring an ordinary ssh key to a shell, on a gateway that runs meanwhile', async () => {
    await refused();
    await mkdir(laptop.path('.ssh'), { recursive: true });
    sshKeygen(laptop.path('.ssh/id_ed25519'));
    await copyFile(laptop.path('.ssh/id_ed25519.pub'), gate.path('alice.pub'));
    const second = nextOf(initialised).replaceAll('NAME', 'alice');
    assert.equal(second, 'portknock add-client alice --key alice.pub');
    const added = await gate.must(second);
    await gateway.wait('reload');
    assert.equal((await stat(gate.etc('portknock/alice.knock'))).mode & 0o777, 0o600);
    await copyFile(gate.etc('portknock/alice.knock'), laptop.path('alice.knock'));
    const third = nextOf(added);
    assert.equal(third, "ssh -o ProxyCommand='portknock connect -p alice.knock %h %p' gw.example");
    await shell(third);
    await refused();
  });

  it('do so with a key of our own, whose command prints the next as well', async () => {
    const made = await laptop.must('portknock keygen');
    const [key = '', publicKey = ''] = made.stdout.trim().split('\n');
    assert.equal((await stat(key)).mode & 0o777, 0o600);
    const [, file = ''] = /--key (\S+)$/u.exec(nextOf(made)) ?? [];
    await copyFile(publicKey, gate.path(file));
    const added = await gate.must(nextOf(made).replace('NAME', 'bob'));
    await copyFile(gate.etc('portknock/bob.knock'), laptop.path('bob.knock'));
    await shell(nextOf(added));
    await refused();
  });

  it('do so with a key that only the ssh-agent has', async () => {
    sshKeygen(gate.path('carol'));
    const added = await gate.must('portknock add-client carol --key carol.pub');
    await copyFile(gate.etc('portknock/carol.knock'), laptop.path('carol.knock'));
    const agent = await startSshAgent(laptop.path('agent'));
    try {
      agent.add('-q', gate.path('carol'));
      await shell(nextOf(added), { SSH_AUTH_SOCK: agent.socketPath });
    } finally {
      await agent.stop();
    }
    await refused();
  });

  it('leave nothing open for a client that has the profile only', async () => {
    sshKeygen(gate.path('dave'));
    await gate.must('portknock add-client dave --key dave.pub');
    await copyFile(gate.etc('portknock/dave.knock'), laptop.path('dave.knock'));
    const grants = gateway.of('grant').length;
    const ran = await laptop.sh(
      "ssh -o ProxyCommand='portknock connect -p dave.knock %h %p' gw.example true",
    );
    assert.equal(ran.status, 255);
    assert.match(ran.stderr, /SHA256:/u);
    assert.equal(gateway.of('grant').length, grants);
  });

  it('overwrite nothing when they are typed again', async () => {
    const before = await readFile(gate.etc('portknock/portknockd.yaml'), 'utf8');
    for (const command of ['portknock init --service ssh=22', 'portknock add-client alice --key alice.pub']) {
      const { status, stderr } = await gate.sh(command);
      assert.equal(status, 1);
      assert.match(stderr, /already/u);
    }
    assert.equal(await readFile(gate.etc('portknock/portknockd.yaml'), 'utf8'), before);
  });
});
