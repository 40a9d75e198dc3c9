// A host that systemd runs: the real one, as the first process of namespaces with an /etc, a /var/lib, a /run and a branch
// of the control groups of their own. It has no units but a few targets, and what a test installs.

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, rmdir, readdir, writeFile } from 'node:fs/promises';
import { existsSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { finished, type Finished, type Namespace } from '../support/netns.ts';
import { programArgs, type Program } from '../support/programs.ts';

const SYSTEMD = '/lib/systemd/systemd';
const TARGETS = ['sysinit', 'basic', 'shutdown', 'umount', 'local-fs', 'network', 'multi-user'];

/** Into a group of our own before it becomes the root of what is seen; then everything that systemd would change. */
const BOOT = [
  'mount --make-rprivate /',
  'cp -a /etc "$1/etc"',
  'mount --bind "$1/etc" /etc',
  'mount -t tmpfs -o mode=755 tmpfs /var/lib',
  'umount -R /sys/fs/cgroup',
  'mount -t cgroup2 cgroup2 /sys/fs/cgroup',
  'mount -t proc proc /proc',
  'mount -t tmpfs -o mode=755 tmpfs /run',
  'hostname gw.example',
  'export container=test SYSTEMD_UNIT_PATH="$1/units:/etc/systemd/system"',
  `exec ${SYSTEMD} --system --unit=basic.target --log-target=console --log-level=warning --show-status=no`,
].join(' && ');

export class SystemdHost {
  /** A folder of this host. */
  readonly folder: string;
  readonly #group: string;
  readonly #boot: ChildProcess;
  readonly #pid: number;

  private constructor(parts: { folder: string; group: string; boot: ChildProcess; pid: number }) {
    this.folder = parts.folder;
    this.#group = parts.group;
    this.#boot = parts.boot;
    this.#pid = parts.pid;
  }

  static async boot(space: Namespace): Promise<SystemdHost> {
    const folder = await mkdtemp(join(tmpdir(), 'portknock-systemd-'));
    await mkdir(join(folder, 'units'));
    for (const name of TARGETS) {
      await writeFile(join(folder, 'units', `${name}.target`), '[Unit]\nDefaultDependencies=no\n');
    }
    const group = join(groupFolder(), `portknock-test-${String(space.pid)}`);
    await mkdir(group);
    const spaces = ['--mount', '--pid', '--fork', '--cgroup', '--ipc', '--uts', '--kill-child'];
    const enter = 'echo $$ > "$1/cgroup.procs" && shift && exec "$@"';
    const boot = space.spawn(
      'sh',
      ['-c', enter, 'sh', group, 'unshare', ...spaces, 'sh', '-ec', BOOT, 'sh', folder],
      { stdio: ['ignore', 'ignore', 'inherit'], env: { PATH: process.env.PATH } },
    );
    const pid = await firstChild(boot);
    const host = new SystemdHost({ folder, group, boot, pid });
    for (;;) {
      const { stdout } = await host.run('systemctl', ['is-active', 'basic.target']);
      if (stdout.trim() === 'active') return host;
      await sleep(20);
    }
  }

  /** A file in its /etc. */
  etc(name: string): string {
    return join(this.folder, 'etc', name);
  }

  spawn(program: string, args: readonly string[]): ChildProcess {
    const into = ['-t', String(this.#pid), '-m', '-p', '-n', '-u', '-i', '-C', '--'];
    const env = { PATH: process.env.PATH, NO_COLOR: '1', SYSTEMD_PAGER: '', NODE_V8_COVERAGE: '' };
    return spawn('nsenter', [...into, 'env', '-C', '/', program, ...args], { env, stdio: 'pipe' });
  }

  run(program: string, args: readonly string[]): Promise<Finished> {
    return finished(this.spawn(program, args));
  }

  /** Runs a program that has to succeed; resolves to its standard output. */
  async must(program: string, args: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await this.run(program, args);
    if (status === 0) return stdout.trim();
    throw new Error(`${program} ${args.join(' ')} failed (${String(status)}): ${stderr}${stdout}`);
  }

  /** Runs one of our programs. */
  ours(program: Program, args: readonly string[]): Promise<string> {
    return this.must(process.execPath, [...programArgs(program), ...args]);
  }

  /** Properties of a unit, as systemctl shows them. */
  async show(unit: string, names: readonly string[]): Promise<Record<string, string>> {
    const text = await this.must('systemctl', ['show', unit, '-p', names.join(',')]);
    return Object.fromEntries(
      text.split('\n').map((line) => line.split(/=(.*)/su).slice(0, 2) as [string, string]),
    );
  }

  async destroy(): Promise<void> {
    if (this.#boot.exitCode === null && this.#boot.signalCode === null) {
      const gone = once(this.#boot, 'exit');
      // unshare ends, and takes with it the first process and so all of them.
      this.#boot.kill('SIGKILL');
      await gone;
    }
    await removeGroup(this.#group);
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Whether it can be had here, and if not, why. */
export function systemdFault(): string | null {
  if (!existsSync(SYSTEMD)) return 'systemd is not installed (apt-get install systemd)';
  try {
    groupFolder();
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Our own place in the unified hierarchy. */
function groupFolder(): string {
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '));
  const root = mounts.find(
    ([, , type, options]) => type === 'cgroup2' && options?.startsWith('rw') === true,
  )?.[1];
  if (root === undefined) throw new Error('control groups (cgroup2) are not mounted, or may not be changed');
  const [, path = '/'] = /^0::(.*)$/mu.exec(readFileSync('/proc/self/cgroup', 'utf8')) ?? [];
  return join(root, path);
}

/** The process that unshare has started, once it is systemd. */
async function firstChild(boot: ChildProcess): Promise<number> {
  const own = String(boot.pid);
  while (boot.exitCode === null && boot.signalCode === null) {
    const text = await readFile(`/proc/${own}/task/${own}/children`, 'utf8').catch(() => '');
    const child = Number(text.trim().split(' ')[0]);
    const name = child > 0 ? await readFile(`/proc/${child}/comm`, 'utf8').catch(() => '') : '';
    if (name.trim() === 'systemd') return child;
    await sleep(10);
  }
  throw new Error('systemd does not start in namespaces here');
}

/** A group can go when its last process has. */
async function removeGroup(path: string): Promise<void> {
  const entries = await readdir(path, { withFileTypes: true });
  for (const entry of entries) if (entry.isDirectory()) await removeGroup(join(path, entry.name));
  for (let tries = 100; tries > 0; tries -= 1) {
    try {
      await rmdir(path);
      return;
    } catch {
      await sleep(10);
    }
  }
}
