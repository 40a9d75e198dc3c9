// A real sshd in a namespace, with throw-away keys and a mount namespace of its own for the files it insists on.

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Namespace } from './netns.ts';

export interface Sshd {
  /** Arguments for ssh that lead to this server as root. */
  readonly sshArgs: readonly string[];
  /** The private key that may log in. */
  readonly userKey: string;
  /** The server's public key, as a line of known_hosts has it behind the name. */
  readonly hostKey: string;
  /** A folder: programs in it come first for whoever logs in, as root or as deploy. */
  readonly bin: string;
  stop(): Promise<void>;
}

/** `home`: of whoever logs in; the server's own folder unless given. */
export async function startSshd(
  space: Pick<Namespace, 'must' | 'spawn'>,
  options: { readonly home?: string } = {},
): Promise<Sshd> {
  const folder = await mkdtemp(join(tmpdir(), 'portknock-sshd-'));
  const file = (name: string): string => join(folder, name);
  for (const name of ['host_key', 'user_key']) {
    await space.must('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file(name)]);
  }
  await writeFile(file('authorized_keys'), await readFile(file('user_key.pub')));
  const home = options.home ?? folder;
  const users = [
    `root:x:0:0::${home}:/bin/sh`,
    `deploy:x:0:0::${home}:/bin/sh`,
    'sshd:x:65533:65533::/run/sshd:/bin/false',
  ];
  await writeFile(file('passwd'), `${users.join('\n')}\n`);
  await mkdir(file('bin'));
  await writeFile(
    file('sshd_config'),
    [
      ...[
        'ListenAddress 0.0.0.0',
        'ListenAddress ::',
        `HostKey ${file('host_key')}`,
        'PidFile none',
        'UsePAM no',
        'Subsystem sftp internal-sftp',
        `SetEnv PATH=${file('bin')}:/usr/bin:/bin`,
      ],
      ...[`AuthorizedKeysFile ${file('authorized_keys')}`, 'StrictModes no', 'PermitRootLogin yes', ''],
    ].join('\n'),
  );
  // /run/sshd, users without a locked password, and a /srv to write to, seen by this sshd only.
  const script =
    'mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /srv && mkdir /run/sshd && mount --bind "$1" /etc/passwd && exec /usr/sbin/sshd -D -e -f "$2"';
  const child = space.spawn(
    'unshare',
    ['-m', 'sh', '-c', script, 'sh', file('passwd'), file('sshd_config')],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  await listening(child);
  const settings = {
    IdentityFile: file('user_key'),
    IdentityAgent: 'none',
    IdentitiesOnly: 'yes',
    UserKnownHostsFile: '/dev/null',
    StrictHostKeyChecking: 'no',
    BatchMode: 'yes',
    ConnectTimeout: '20',
    LogLevel: 'ERROR',
  };
  return {
    userKey: await readFile(file('user_key'), 'utf8'),
    hostKey: (await readFile(file('host_key.pub'), 'utf8')).trim(),
    bin: file('bin'),
    sshArgs: [
      '-F',
      'none',
      '-l',
      'root',
      ...Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]),
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
