// Where the shell blocks of a page are typed: a gateway with an interface eth0 and an sshd, and a laptop beside it, each
// a machine of its own; the programs are ours of this tree. What they would need from the world is a stand-in, by name.

import assert from 'node:assert/strict';
import { spawnSync, type SpawnOptions } from 'node:child_process';
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { Machine } from '../support/machine.ts';
import { createWorld, type World } from '../support/netns.ts';
import { writePrivate } from '../support/ssh-tools.ts';
import { startSshd, type Sshd } from '../support/sshd.ts';
import { placeOf, type Block } from './blocks.ts';
import { Shell } from './shell.ts';

/** What stays in the foreground, and what it says when it is at work. */
const STAYS: readonly (readonly [command: RegExp, ready: RegExp])[] = [
  [/^(?:setpriv .* )?portknockd\b(?!.*--(?:check|teardown|help))/u, / ready /u],
  [/^tcpdump .*-w \S+\.pcap/u, /listening on/u],
  [/^tcpdump .*\| portknock explain/u, /listening on/u],
  [/^node \S+ &$/u, /listening/u],
];
/** Whoever reads takes these for the laptop's. */
const ELSEWHERE = /#.*\b(?:from outside|on a client|on the laptop)\b/u;
/** Programs that a container or a CI has not, or that must not touch the host. */
const STAND_INS = ['systemctl', 'journalctl', 'systemd-run', 'apt-get'];

export type Prepare = (stage: Stage) => Promise<void>;

export class Stage {
  readonly world: World;
  readonly gateway: Machine;
  readonly laptop: Machine;
  readonly sshd: Sshd;
  readonly #shells: { readonly gateway: Shell; readonly laptop: Shell };
  #daemon: Shell | null = null;
  #busy: Shell | null = null;

  private constructor(
    parts: Pick<Stage, 'world' | 'gateway' | 'laptop' | 'sshd'>,
    shells: readonly [Shell, Shell],
  ) {
    ({ world: this.world, gateway: this.gateway, laptop: this.laptop, sshd: this.sshd } = parts);
    this.#shells = { gateway: shells[0], laptop: shells[1] };
  }

  static async open(): Promise<Stage> {
    const world = await createWorld();
    const ip = (...words: readonly string[]) => world.gateway.must('ip', words);
    await ip('link', 'set', world.device, 'down');
    await ip('link', 'set', world.device, 'name', 'eth0', 'up');
    await ip('-6', 'addr', 'add', `${world.address[6]}/64`, 'dev', 'eth0', 'nodad');
    const hosts = { 'gw.example': [world.address[4], world.address[6]] };
    const gateway = await Machine.create(world.gateway, { name: 'gw.example' });
    const laptop = await Machine.create(world.outside, { name: 'laptop', hosts });
    const sshd = await sshdOn(world, gateway);
    await laptop.configureSsh(sshd.sshArgs);
    writePrivate(laptop.path('.ssh/id_ed25519'), sshd.userKey);
    const pair = `${laptop.path('.ssh/id_ed25519')}.pub`;
    await laptop.must(`ssh-keygen -y -f .ssh/id_ed25519 >${pair}`);
    await copyFile(pair, gateway.path('alice.pub'));
    for (const name of STAND_INS) {
      await gateway.install(name, `#!/bin/sh\necho "$0 $*" >>${gateway.path('stand-ins.log')}\n`);
    }
    const shells = await Promise.all([Shell.open(gateway, 'gw'), Shell.open(laptop, 'laptop')]);
    return new Stage({ world, gateway, laptop, sshd }, shells);
  }

  /** A gateway's configuration that is there already when the page begins, with alice in it. */
  async configure(more: (text: string) => string = (text) => text): Promise<void> {
    const file = this.gateway.etc('portknock/portknockd.yaml');
    await this.gateway.must('portknock init --service ssh=22 --interface eth0 --gateway gw.example');
    await this.gateway.must('portknock add-client alice --key alice.pub');
    await writeFile(file, more(await readFile(file, 'utf8')));
    await copyFile(this.gateway.etc('portknock/alice.knock'), this.laptop.path('alice.knock'));
  }

  /** The daemon, in a terminal of its own. */
  async gatewayRuns(): Promise<void> {
    this.#daemon ??= await Shell.open(this.gateway, 'daemon');
    await this.#daemon.wait(/ ready /u, this.#daemon.start('portknockd'));
  }

  /** Ctrl-C there. */
  async gatewayStops(): Promise<void> {
    const from = this.#daemon?.screen.length ?? 0;
    this.#daemon?.interrupt();
    await this.#daemon?.wait(/> $/u, from);
  }

  /** Types a block's commands, each on the machine that is meant. What is typed has to succeed. */
  async type(
    block: Block,
    options: {
      readonly between?: readonly (readonly [before: RegExp, act: Prepare])[];
      readonly at?: 'laptop';
    } = {},
  ): Promise<void> {
    const { between = [], at = 'gateway' } = options;
    for (const command of commandsOf(block.text)) {
      for (const [before, act] of between) if (before.test(command)) await act(this);
      const where = ELSEWHERE.test(command) || /\bOn the laptop\b/u.test(block.before) ? 'laptop' : at;
      const shell = this.#shells[where];
      const ready = STAYS.find(([pattern]) => pattern.test(command))?.[1];
      if (this.#busy === shell) await this.#interrupt();
      if (ready !== undefined) {
        await shell.wait(ready, shell.start(command));
        if (!/&( *#.*)?$/u.test(command)) this.#busy = shell;
        continue;
      }
      const { status, said } = await shell.type(command);
      assert.equal(status, 0, `${placeOf(block)}: ${command}\n${said}`);
    }
  }

  async close(): Promise<void> {
    const { gateway, laptop } = this.#shells;
    await Promise.all(
      [gateway, laptop, ...(this.#daemon === null ? [] : [this.#daemon])].map((shell) => shell.close()),
    );
    await this.sshd.stop();
    await Promise.all([this.gateway.destroy(), this.laptop.destroy()]);
    await this.world.destroy();
  }

  /** Ctrl-C, since what runs there would read what is typed. */
  async #interrupt(): Promise<void> {
    const shell = this.#busy;
    this.#busy = null;
    if (shell === null) return;
    const from = shell.screen.length;
    shell.interrupt();
    await shell.wait(/> $/u, from);
  }
}

/** An sshd that sees the machine's own /etc and lets its user in. */
export function sshdOn(world: World, machine: Machine): Promise<Sshd> {
  const space = {
    must: (program: string, args: readonly string[]) => world.gateway.must(program, args),
    spawn: (program: string, args: readonly string[], { stdio }: SpawnOptions = {}) =>
      machine.spawn(program, args, { stdio }),
  };
  return startSshd(space, { home: machine.home });
}

/** Command lines; what goes on over several lines is one. */
export function commandsOf(text: string): readonly string[] {
  const found: string[] = [];
  let open = '';
  for (const line of text.split('\n')) {
    open = open === '' ? line : `${open}\n${line}`;
    if (open.trim() === '' || /^ *#/u.test(open)) open = '';
    else if (!open.endsWith('\\') && isWhole(open)) {
      found.push(open);
      open = '';
    }
  }
  assert.equal(open, '', 'the block ends in the middle of a command');
  return found;
}

function isWhole(text: string): boolean {
  const { status, stderr } = spawnSync('bash', ['-n', '-c', text], { encoding: 'utf8' });
  return status === 0 && !stderr.includes('here-document');
}

/** A file of the laptop's or the gateway's, with folders. */
export async function put(path: string, text: string, mode = 0o600): Promise<void> {
  await mkdir(path.replace(/\/[^/]*$/u, ''), { recursive: true });
  await rm(path, { force: true });
  await writeFile(path, text, { mode });
}
