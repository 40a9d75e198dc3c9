// OpenSSH's own programs, as the judges of what we read and write: they see no agent and no configuration of the host.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A folder of its own for the tests of one `describe`; gives the paths of files in it. */
export function scratch(): (name: string) => string {
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'portknock-ssh-'));
  });
  after(() => {
    rmSync(folder, { recursive: true });
  });
  return (name) => join(folder, name);
}

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly env?: Readonly<Record<string, string>>;
}

/** Whether the program took it, and all that it said. */
export function tried(program: string, args: readonly string[], { input = '', env = {} }: RunOptions = {}) {
  const { SSH_AUTH_SOCK: _agent, ...own } = process.env;
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    input,
    env: { ...own, LC_ALL: 'C', ...env },
    encoding: 'utf8',
  });
  assert.equal(error, undefined);
  return { accepted: status === 0, stdout, said: stdout + stderr };
}

/** What the program printed; it must have been content. */
export function run(program: string, args: readonly string[], options?: RunOptions): string {
  const { accepted, stdout, said } = tried(program, args, options);
  assert.ok(accepted, `${program} ${args.join(' ')}: ${said}`);
  return stdout;
}

export interface KeyFileOptions {
  readonly passphrase?: string;
  readonly comment?: string;
  /** More arguments, such as `-Z CIPHER` or `-a ROUNDS`. */
  readonly args?: readonly string[];
  /** ed25519 unless given. */
  readonly type?: string;
}

/** A key pair of ssh-keygen's at `path`; gives the two texts. */
export function sshKeygen(path: string, options: KeyFileOptions = {}) {
  const { passphrase = '', comment = 'alice@laptop', args = [], type = 'ed25519' } = options;
  run('ssh-keygen', ['-q', '-t', type, '-N', passphrase, '-C', comment, ...args, '-f', path]);
  return { privateText: readFileSync(path, 'utf8'), publicLine: readFileSync(`${path}.pub`, 'utf8') };
}

/** A file that nobody else can read, as ssh demands of keys. */
export function writePrivate(path: string, text: string): string {
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

export interface SshAgent {
  readonly socketPath: string;
  add(...args: readonly string[]): void;
  stop(): Promise<void>;
}

/** A real ssh-agent; `askpass` is the program that it asks instead of its user. */
export async function startSshAgent(socketPath: string, askpass = '/bin/false'): Promise<SshAgent> {
  const env = { ...process.env, SSH_ASKPASS: askpass, SSH_ASKPASS_REQUIRE: 'force' };
  const child = spawn('ssh-agent', ['-D', '-a', socketPath], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  // It prints where it listens once it does.
  await once(child.stdout, 'data');
  child.stdout.resume();
  return {
    socketPath,
    add(...args) {
      run('ssh-add', args, {
        env: { SSH_AUTH_SOCK: socketPath, SSH_ASKPASS: askpass, SSH_ASKPASS_REQUIRE: 'force' },
      });
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      await gone;
    },
  };
}
