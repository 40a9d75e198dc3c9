// Real knockd 0.8 on the gateway's host, guarding a port of its own with the commands of its manual page; it hears the
// very packets that our gateway hears, so one attack shows both.

import { type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { World } from '../../support/netns.ts';
import { pause, until } from '../support.ts';

const PORT = 2022;
const CHAIN = 'KNOCKD';

export interface KnockdOptions {
  /** Lines of the door that say its sequence; 7100, 8100, 9100 unless given. */
  readonly sequence?: string;
  readonly tcpFlags?: 'syn' | null;
  /** Seconds until the port closes; 60 unless given. */
  readonly closeAfter?: number;
}

export class RealKnockd {
  readonly port = PORT;
  readonly #world: World;
  readonly #folder: string;
  #child: ChildProcess | null = null;

  private constructor(world: World, folder: string) {
    this.#world = world;
    this.#folder = folder;
  }

  /** Closes its port; it does not run yet. */
  static async prepare(world: World): Promise<RealKnockd> {
    const folder = await mkdtemp(join(tmpdir(), 'portknock-knockd-'));
    for (const program of ['iptables-nft', 'ip6tables-nft']) {
      await world.gateway.must(program, ['-N', CHAIN]);
      await world.gateway.must(program, ['-A', CHAIN, '-j', 'REJECT']);
      await world.gateway.must(program, ['-A', 'INPUT', '-p', 'tcp', '--dport', String(PORT), '-j', CHAIN]);
    }
    return new RealKnockd(world, folder);
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get config(): string {
    return join(this.#folder, 'knockd.conf');
  }

  /** A file that its configuration may name. */
  path(name: string): string {
    return join(this.#folder, name);
  }

  get runs(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Starts it anew, its port closed. */
  async start(options: KnockdOptions = {}): Promise<void> {
    await this.end();
    const { sequence = 'sequence = 7100,8100,9100', tcpFlags = 'syn', closeAfter = 60 } = options;
    const rule = (change: string): string => `${change} ${CHAIN} -s %IP% -j ACCEPT`;
    const lines = [
      '[options]',
      `LogFile = ${this.path('log')}`,
      '[door]',
      sequence,
      'seq_timeout = 10',
      ...(tcpFlags === null ? [] : [`tcpflags = ${tcpFlags}`]),
      `start_command = iptables-nft ${rule('-I')}`,
      `stop_command = iptables-nft ${rule('-D')}`,
      `start_command_6 = ip6tables-nft ${rule('-I')}`,
      `stop_command_6 = ip6tables-nft ${rule('-D')}`,
      `cmd_timeout = ${closeAfter}`,
    ];
    await writeFile(this.config, `${lines.join('\n')}\n`);
    await this.resume();
  }

  /** Starts it with the files and rules that are there. */
  async resume(): Promise<void> {
    await rm(this.path('log'), { force: true });
    const args = ['-i', this.#world.device, '-c', this.config];
    const child = this.#world.gateway.spawn('knockd', args, { stdio: 'ignore' });
    this.#child = child;
    await until('knockd listens', async () => {
      if (!this.runs) throw new Error('knockd did not start');
      return (await this.log()).includes('listening on');
    });
  }

  async log(): Promise<string> {
    return readFile(this.path('log'), 'utf8').catch(() => '');
  }

  /** Processes that wait to close the port again. */
  sleepers(): number[] {
    return childrenOf(this.pid);
  }

  /** Rules that let somebody in. */
  async openings(family: 4 | 6 = 4): Promise<string[]> {
    const program = family === 4 ? 'iptables-nft' : 'ip6tables-nft';
    const text = await this.#world.gateway.must(program, ['-S', CHAIN]);
    return text.split('\n').filter((line) => line.endsWith('-j ACCEPT'));
  }

  /** Whether as many rules let somebody in before the time is up. */
  async opens(options: { family?: 4 | 6; count?: number; timeoutMs?: number } = {}): Promise<boolean> {
    const { family = 4, count = 1, timeoutMs = 20_000 } = options;
    for (const deadline = Date.now() + timeoutMs; Date.now() < deadline; await pause(30)) {
      if ((await this.openings(family)).length >= count) return true;
    }
    return false;
  }

  /** Kills it and those who wait, and closes its port. */
  async end(): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (child === null) return;
    if (child.exitCode === null && child.signalCode === null) {
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    }
    for (const pid of this.#left()) {
      const commands = childrenOf(pid);
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // Its time was over.
      }
      // What it runs at this moment would change the next test's rules.
      for (const command of commands) await until('its command has ended', () => isOver(command));
    }
    for (const program of ['iptables-nft', 'ip6tables-nft']) {
      await this.#world.gateway.must(program, ['-F', CHAIN]);
      await this.#world.gateway.must(program, ['-A', CHAIN, '-j', 'REJECT']);
    }
  }

  /** Those who wait when it has ended, by itself perhaps: nobody's children, but in this namespace. */
  #left(): number[] {
    const spaceOf = (pid: number | string): string => look(() => readlinkSync(`/proc/${pid}/ns/net`));
    const space = spaceOf(this.#world.gateway.pid);
    const isKnockd = (pid: string): boolean =>
      look(() => readFileSync(`/proc/${pid}/comm`, 'latin1')).trim() === 'knockd';
    return readdirSync('/proc')
      .filter((pid) => /^\d+$/u.test(pid) && isKnockd(pid) && spaceOf(pid) === space)
      .map(Number);
  }

  /** For the very end. */
  async remove(): Promise<void> {
    await this.end();
    await rm(this.#folder, { recursive: true });
  }
}

/** What it has started and has not waited for yet. */
function childrenOf(pid: number): number[] {
  return look(() => readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1'))
    .split(' ')
    .filter(Boolean)
    .map(Number);
}

/** Whether it has ended, or waits for its parent to notice. */
function isOver(pid: number): boolean {
  return look(() => readFileSync(`/proc/${pid}/cmdline`, 'latin1')) === '';
}

/** Of a process that may end at any moment. */
function look(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}
