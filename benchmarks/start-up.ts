// How long a client process takes: node alone, portknock that prints its help, and a real knock on loopback. From the
// built package, since that is what a user starts.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { generateSshKey } from '../lib/crypto/ssh-key.ts';
import { formatProfile, type Profile } from '../lib/knocker/profile.ts';
import { figures, must, takeTurns, type Bench, type Row } from './bench.ts';
import { workFolder } from './machine.ts';

const PROGRAM = fileURLToPath(new URL('../dist/portknock.js', import.meta.url));
const ROUNDS = 25;
const unit = 'starts';

export async function startUp(bench: Bench): Promise<void> {
  if (!existsSync(PROGRAM)) {
    bench.note('not measured: dist/ is missing (npm run build)');
    return;
  }
  await mkdir(workFolder, { recursive: true });
  const folder = await mkdtemp(join(workFolder, 'start-up-'));
  try {
    await measure(bench, folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function measure(bench: Bench, folder: string): Promise<void> {
  const { privateText, publicLine } = generateSshKey('bench');
  const file = (name: string): string => join(folder, name);
  await writeFile(file('id'), privateText, { mode: 0o600 });
  const shared = { ...SPA, key: Buffer.alloc(32, 8) };
  for (const [name, profile] of [
    ['field', PROFILE],
    ['shared', shared],
    ['signed', { ...SPA, key: publicLine }],
  ] as const) {
    await writeFile(file(`${name}.knock`), formatProfile(profile), { mode: 0o600 });
  }
  const send = (name: string): string[] => [PROGRAM, 'send', '-p', file(`${name}.knock`)];
  const ways: Readonly<Record<string, (round: number) => Promise<void>>> = {
    'node -e 0': () => start(process.execPath, ['-e', '0']),
    'portknock send --help': () => start(process.execPath, [PROGRAM, 'send', '--help']),
    // A state of its own each time: the next knock with the same one would wait for the next step.
    'portknock send: five datagrams to 127.0.0.1': (round) =>
      start(process.execPath, send('field'), { XDG_STATE_HOME: file(`state-${round}`) }),
    'portknock send: one SPA datagram, suite 1': () =>
      start(process.execPath, send('shared'), { XDG_STATE_HOME: file('state') }),
    'portknock send: one SPA datagram, suite 2 with a key file': () =>
      start(process.execPath, [...send('signed'), '-i', file('id')], { XDG_STATE_HOME: file('state') }),
    ...(spawnSync('knock', ['-V']).error === undefined
      ? {
          "knock (knockd's client): five datagrams to 127.0.0.1": () =>
            start('knock', ['-u', '127.0.0.1', '20001', '30002', '20003', '30004', '20005']),
        }
      : {}),
  };
  const times = Object.entries(await takeTurns(ways, bench.smoke ? 1 : ROUNDS));
  let beside: Row | undefined;
  for (const [name, found] of times) {
    const row = bench.add(name, { ...figures(found), bytes: null }, { unit, beside });
    beside ??= row;
  }
}

async function start(
  program: string,
  args: readonly string[],
  more: Record<string, string> = {},
): Promise<void> {
  const child = spawn(program, args, {
    stdio: 'ignore',
    env: { PATH: process.env.PATH, HOME: workFolder, NO_COLOR: '1', ...more },
  });
  const [status] = (await once(child, 'exit')) as [number | null];
  must(status === 0, `${program} ${args.join(' ')} ended with ${status ?? 'a signal'}`);
}

const SPA = {
  scheme: 'spa',
  host: '127.0.0.1',
  client: 'alice',
  services: { ssh: 22 },
  gateway: 'gw.example',
  port: 62_201,
  accessKey: Buffer.alloc(32, 9),
  bind: 'observed',
} as const;

const PROFILE: Profile = {
  scheme: 'one-time',
  host: '127.0.0.1',
  client: 'field',
  services: { ssh: 22 },
  secret: Buffer.alloc(32, 7),
  digest: 'sha256',
  knocks: 5,
  ports: [20_000, 52_767],
  step: 10,
  carrier: 'udp',
};
