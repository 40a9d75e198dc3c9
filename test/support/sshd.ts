// A real sshd in a namespace, with throw-away keys and a mount namespace of its own for the files it insists on.

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Namespace } from './netns.ts';

export interface Sshd {
  /** Arguments for ssh that lead to this server as root. */
  readonly sshArgs: readonly string[];
  stop(): Promise<void>;
}

export async function startSshd(space: Namespace): Promise<Sshd> {
  const folder = await mkdtemp(join(tmpdir(), 'portknock-sshd-'));
  const file = (name: string): string => join(folder, name);
  for (const name of ['host_key', 'user_key']) {
    await space.must('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file(name)]);
  }
  await writeFile(file('authorized_keys'), await readFile(file('user_key.pub')));
  await writeFile(
    file('passwd'),
    `root:x:0:0::${folder}:/bin/sh\nsshd:x:65533:65533::/run/sshd:/bin/false\n`,
  );
  await writeFile(
    file('sshd_config'),
    [
      ...[
        'ListenAddress 0.0.0.0',
        'ListenAddress ::',
        `HostKey ${file('host_key')}`,
        'PidFile none',
        'UsePAM no',
      ],
      ...[`AuthorizedKeysFile ${file('authorized_keys')}`, 'StrictModes no', 'PermitRootLogin yes', ''],
    ].join('\n'),
  );
  // /run/sshd and a user without a locked password, seen by this sshd only.
  const script =
    'mount -t tmpfs tmpfs /run && mkdir /run/sshd && mount --bind "$1" /etc/passwd && exec /usr/sbin/sshd -D -e -f "$2"';
  const child = space.spawn(
    'unshare',
    ['-m', 'sh', '-c', script, 'sh', file('passwd'), file('sshd_config')],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  await listening(child);
  const options = {
    IdentityFile: file('user_key'),
    IdentityAgent: 'none',
    IdentitiesOnly: 'yes',
    UserKnownHostsFile: '/dev/null',
    StrictHostKeyChecking: 'no',
    BatchMode: 'yes',
    ConnectTimeout: '2',
    LogLevel: 'ERROR',
  };
  return {
    sshArgs: [
      '-F',
      'none',
      '-l',
      'root',
      ...Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]),
    ],
    async stop() {
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      await gone;
      await rm(folder, { recursive: true });
    },
  };
}

async function listening(child: ChildProcess): Promise<void> {
  let said = '';
  await new Promise<void>((resolve, reject) => {
    child.stderr?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (said.includes('Server listening')) resolve();
    });
    child.once('exit', () => {
      reject(new Error(`sshd ended: ${said}`));
    });
  });
}
