// A real sshd with throw-away keys, and a client's configuration for it.

import type { ChildProcess } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Namespace } from '../../test/support/netns.ts';
import { isOneUser } from './place.ts';
import { says, type Processes } from './processes.ts';

/** Whom the client logs in as; exists only in our mount namespace. */
const USER = 'demo';
const UID = 65534;

export interface SshdOptions {
  readonly folder: string;
  readonly space: Namespace;
  readonly address: string;
  readonly processes: Processes;
}

/** Starts sshd on port 22. `ssh -F ssh_config gateway` in `folder` then logs in. */
export async function startSshd({ folder, space, address, processes }: SshdOptions): Promise<ChildProcess> {
  await writePasswd(folder, processes);
  const file = (name: string): string => join(folder, name);
  for (const name of ['host_key', 'user_key']) {
    await processes.must(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', file(name)]);
  }
  const hostKey = await readFile(file('host_key.pub'), 'utf8');
  await writeFile(file('known_hosts'), `${address} ${hostKey}`);
  await writeFile(file('sshd_config'), sshdConfig(folder, address));
  await writeFile(file('ssh_config'), sshConfig(folder, address));
  const sshd: [string, ...string[]] = [await findSshd(processes), '-D', '-e', '-f', file('sshd_config')];
  const child = processes.start(isOneUser() ? await asOrdinaryUser(sshd, space, processes) : sshd, space);
  await says(child, 'Server listening');
  return child;
}

/**
 * The root of a one-user namespace cannot become another user, which is what sshd does with root. So there sshd runs in
 * a namespace within, where it is an ordinary user, who may log in as himself; port 22 is opened to such.
 */
async function asOrdinaryUser(
  sshd: readonly string[],
  space: Namespace,
  processes: Processes,
): Promise<[string, ...string[]]> {
  await processes.must(['sysctl', '-qw', 'net.ipv4.ip_unprivileged_port_start=0'], space);
  const map = [`--map-user=${UID}`, `--map-group=${UID}`];
  return ['unshare', '-U', ...map, 'setpriv', '--pdeathsig', 'KILL', ...sshd];
}

/**
 * Users of our own, seen by nobody else: this host's may have no login shell, and a container's user no entry at all.
 */
async function writePasswd(folder: string, processes: Processes): Promise<void> {
  const path = join(folder, 'passwd');
  const users = [
    `root:x:0:0::${folder}:/bin/sh`,
    'sshd:x:65533:65533::/run/sshd:/bin/false',
    `${USER}:x:${UID}:${UID}::/:/bin/sh`,
  ];
  await writeFile(path, `${users.join('\n')}\n`);
  await processes.must(['mount', '--bind', path, '/etc/passwd']);
  // Where sshd locks up its unprivileged part.
  await mkdir('/run/sshd', { mode: 0o755 });
}

/** It insists on being started by its whole path. */
async function findSshd(processes: Processes): Promise<string> {
  return (await processes.must(['sh', '-c', 'command -v sshd'])).trim();
}

function sshdConfig(folder: string, address: string): string {
  return [
    `ListenAddress ${address}:22`,
    `HostKey ${folder}/host_key`,
    `AuthorizedKeysFile ${folder}/user_key.pub`,
    // The folders above belong to a user whom sshd does not know.
    'StrictModes no',
    'UsePAM no',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'PidFile none',
    '',
  ].join('\n');
}

function sshConfig(folder: string, address: string): string {
  return [
    'Host gateway',
    `HostName ${address}`,
    `User ${USER}`,
    `IdentityFile ${folder}/user_key`,
    'IdentitiesOnly yes',
    'IdentityAgent none',
    `UserKnownHostsFile ${folder}/known_hosts`,
    'GlobalKnownHostsFile none',
    'StrictHostKeyChecking yes',
    'BatchMode yes',
    'ConnectTimeout 1',
    'LogLevel ERROR',
    '',
  ].join('\n');
}
