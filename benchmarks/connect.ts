// From the start of a client to the first byte of a hidden service: `portknock connect`, a warm Knocker, and what users
// of knockd and fwknop type. In namespaces, in turns, beside a plain connection to an open port.

import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { generateSshKey } from '../lib/crypto/ssh-key.ts';
import { formatProfile, type Profile } from '../lib/knocker/profile.ts';
import { createReplayFile } from '../lib/replay/file.ts';
import { createWorld, namespacesFault, type World } from '../test/support/netns.ts';
import { figures, must, type Bench, type Row } from './bench.ts';
import { FWKNOP_PORT, fwknopd, isInstalled, knockd, KNOCKD_PORT, type Peer } from './connect-peers.ts';
import { workFolder } from './machine.ts';

const dist = (name: string): string => fileURLToPath(new URL(`../dist/${name}`, import.meta.url));
const CHILD = fileURLToPath(new URL('./connect-child.ts', import.meta.url));
const OPEN_PORT = 2021;
const OURS = 2022;
const ROUNDS = 12;
const unit = 'connections';
const BANNER =
  "for (const port of process.argv.slice(1)) require('node:net').createServer((s) => s.on('error', () => {}).end('SSH-2.0-bench\\r\\n')).listen(Number(port), '::'); console.log('up')";

type Ways = Record<string, (round: number) => Promise<unknown>>;

export async function connect(bench: Bench): Promise<void> {
  const fault = process.getuid?.() === 0 ? namespacesFault() : 'not root';
  if (fault !== null || !existsSync(dist('portknock.js'))) {
    bench.note(`not measured: ${fault ?? 'dist/ is missing (npm run build)'}`);
    return;
  }
  await mkdir(workFolder, { recursive: true });
  const folder = await mkdtemp(join(workFolder, 'connect-'));
  const world = await createWorld();
  try {
    await measure(bench, world, folder);
  } finally {
    await world.destroy();
    await rm(folder, { recursive: true });
  }
}

async function measure(bench: Bench, world: World, folder: string): Promise<void> {
  const children: ChildProcess[] = [];
  const peers: Peer[] = [];
  try {
    const service = world.gateway.spawn(
      process.execPath,
      ['-e', BANNER, ...[OPEN_PORT, OURS, KNOCKD_PORT, FWKNOP_PORT].map(String)],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    children.push(service);
    if (service.stdout !== null) await once(service.stdout, 'data');
    const profiles = await site(world, folder);
    children.push(await gateway(world, folder));
    if (isInstalled('knockd')) peers.push(await knockd(world, folder));
    else bench.note('knockd is not installed');
    if (isInstalled('fwknopd') && isInstalled('fwknop')) peers.push(await fwknopd(world, folder));
    else bench.note('fwknop is not installed');
    const warm = warmKnocker(world, profiles.shared);
    children.push(warm.child);
    await rows(bench, { world, folder, profiles, peers, warm: warm.connect });
  } finally {
    for (const peer of peers) await peer.stop();
    for (const child of children) child.kill('SIGKILL');
  }
}

async function rows(
  bench: Bench,
  {
    world,
    folder,
    profiles,
    peers,
    warm,
  }: {
    world: World;
    folder: string;
    profiles: Readonly<Record<'shared' | 'signed', string>>;
    peers: readonly Peer[];
    warm: () => Promise<void>;
  },
): Promise<void> {
  const host = world.address[4];
  const ours = (profile: string, more: string): string =>
    `XDG_STATE_HOME=${folder} exec ${process.execPath} ${dist('portknock.js')} connect -p ${profile} ${more} ${host} ${OURS}`;
  const ways: Ways = {
    'nc to an open port': () => firstByte(world, `exec nc -d ${host} ${OPEN_PORT}`),
    'Knocker.connect() in a running process, suite 1': warm,
    'portknock connect, suite 1': () => firstByte(world, ours(profiles.shared, '')),
    'portknock connect, suite 2 with a key file': () =>
      firstByte(world, ours(profiles.signed, `-i ${join(folder, 'id')}`)),
    ...Object.fromEntries(peers.map((peer) => [peer.name, () => firstByte(world, peer.line)])),
  };
  const times = Object.fromEntries(Object.keys(ways).map((name) => [name, [] as number[]]));
  const take = async ([name, way]: [string, Ways[string]], round: number): Promise<void> => {
    // Only the way itself counts: a peer's port is shut again between the rounds.
    const began = performance.now();
    await way(round);
    if (round > 0) times[name]?.push((performance.now() - began) * 1e6);
    await peers.find((peer) => peer.name === name)?.close();
  };
  // To see that it works, all at once will do: the peers take a second each.
  if (bench.smoke) await Promise.all(Object.entries(ways).map((way) => take(way, 1)));
  else {
    for (let round = 0; round <= ROUNDS; round += 1) {
      for (const way of Object.entries(ways)) await take(way, round);
    }
  }
  let base: Row | undefined;
  for (const [name, list] of Object.entries(times)) {
    const sorted = list.sort((one, other) => one - other);
    const row = bench.add(name, { ...figures(sorted), bytes: null }, { unit, beside: base });
    base ??= row;
  }
}

/** Starts a shell line on the client's side and waits for its first byte; it ends by itself. */
async function firstByte(world: World, line: string): Promise<void> {
  const child = world.outside.spawn('sh', ['-c', line], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const [byte] = (await Promise.race([once(child.stdout ?? child, 'data'), ended])) as unknown[];
  must(Buffer.isBuffer(byte), `no byte came: ${line}`);
  await ended;
}

/** The gateway's configuration with a client for each suite, and their profiles. */
async function site(world: World, folder: string): Promise<Record<'shared' | 'signed', string>> {
  const [accessKey, secret] = [randomBytes(32), randomBytes(32)];
  const { privateText, publicLine } = generateSshKey('bench');
  await mkdir(join(folder, 'state'), { mode: 0o700 });
  await createReplayFile(join(folder, 'state', 'replay'));
  const config = [
    ...['gateway: gw.example', `interface: ${world.device}`, 'state_dir: state', 'firewall: iptables'],
    ...[`access_key: "${accessKey.toString('base64')}"`, `services: { ssh: { port: ${OURS} } }`, 'clients:'],
    `  shared: { scheme: spa, secret: "${secret.toString('base64')}", services: [ssh] }`,
    `  signed: { scheme: spa, key: "${publicLine}", services: [ssh] }`,
  ];
  await writeFile(join(folder, 'portknockd.yaml'), `${config.join('\n')}\n`, { mode: 0o600 });
  await writeFile(join(folder, 'id'), privateText, { mode: 0o600 });
  const profile = async (client: string, key: string | Uint8Array): Promise<string> => {
    const path = join(folder, `${client}.knock`);
    const given: Profile = {
      ...({ scheme: 'spa', host: world.address[4], gateway: 'gw.example', port: 62_201 } as const),
      ...({ bind: 'observed', services: { ssh: OURS }, client, accessKey, key } as const),
    };
    await writeFile(path, formatProfile(given), { mode: 0o600 });
    return path;
  };
  return { shared: await profile('shared', secret), signed: await profile('signed', publicLine) };
}

async function gateway(world: World, folder: string): Promise<ChildProcess> {
  const daemon = world.gateway.spawn(
    process.execPath,
    [dist('portknockd.js'), '--config', join(folder, 'portknockd.yaml'), '--log', 'json'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  if (daemon.stdout === null) throw new Error('portknockd has no standard output');
  for await (const line of createInterface({ input: daemon.stdout })) {
    if (line.includes('"event":"ready"')) break;
  }
  daemon.stdout.resume();
  return daemon;
}

/** A process in the client's namespace that connects whenever it gets a line. */
function warmKnocker(world: World, profile: string): { child: ChildProcess; connect: () => Promise<void> } {
  const child = world.outside.spawn(process.execPath, ['--import', 'tsx', CHILD, profile], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  return {
    child,
    async connect() {
      child.stdin?.write('connect\n');
      const [answer] = (await once(child.stdout ?? child, 'data')) as [Buffer];
      must(answer.toString() === 'connected\n', 'the warm knocker connects');
    },
  };
}
