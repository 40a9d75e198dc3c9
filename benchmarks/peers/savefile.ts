// Part d: packets per second from a savefile through a whole pipeline: ours in this process, from reading the file to the
// mock driver, and fwknopd with --pcap-file. The floor is libpcap's own loop in C. knockd reads no savefiles.

import { randomBytes } from 'node:crypto';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { captureFile } from '../../lib/capture/file.ts';
import { mock } from '../../lib/firewall/mock.ts';
import { KnockListener } from '../../lib/listener/listener.ts';
import { noMetrics } from '../../lib/metrics.ts';
import { accessKeyOf, EPOCH_MS, hintOf } from '../../lib/scheme/spa-keys.ts';
import { spa } from '../../lib/scheme/spa.ts';
import { must } from '../bench.ts';
import { workFolder } from '../machine.ts';
import { nameOf, writeJunk, type Junk } from './junk.ts';
import type { Context } from './part.ts';
import { spread, type Row } from './result.ts';
import { ended, pause } from './rig.ts';
import { FWKNOPD_VARIANTS, type FwknopdVariant } from './theirs.ts';

/** One file, and who reads it. */
interface Savefile {
  readonly what: string;
  readonly path: string;
  readonly count: number;
  /** Of our pipeline: how many it must refuse by their tag, which it finds out by a MAC each. */
  readonly badTags: number;
  readonly readers: readonly ('floor' | 'ours' | FwknopdVariant)[];
}

type Way = () => Promise<number>;

const START_SECONDS = 1_700_000_000;
/** Packets that the default fwknopd, which takes a thousand a second, has to read. */
const SLOW = 2000;
const FLOOR = 'libpcap loop in C';
const UNIT = 'packets/s';
/** What fwknopd reads before it starts to take packets out: one buffer of stdio. */
const BUFFERED = 4096;

/** The part. */
export async function measure(context: Context): Promise<Row[]> {
  await mkdir(workFolder, { recursive: true });
  const folder = await mkdtemp(join(workFolder, 'peers-savefile-'));
  try {
    const secret = randomBytes(32);
    const files = write(folder, secret, context.smoke ? 0.05 : 1);
    const floor = compileFloor(folder);
    for (const variant of FWKNOPD_VARIANTS) await configure(folder, variant);
    context.command('native/pcap-count FILE   # cc -O2 pcap-count.c -lpcap');
    context.command('fwknopd -f -t -c fwknopd.conf -a access.conf --pcap-file FILE   # both variants');
    const lanes = files.flatMap((file) =>
      file.readers.map((reader) => ({ file, reader, rates: [] as number[] })),
    );
    // The first round only warms up.
    for (let round = 0; round <= context.rounds; round += 1) {
      for (const { file, reader, rates } of lanes) {
        const seconds = await wayOf(reader, { file, folder, floor, secret })();
        if (round > 0) rates.push(file.count / seconds);
      }
    }
    return lanes.map(({ file, reader, rates }) => rowOf(reader, file, rates));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function write(folder: string, secret: Buffer, share: number): Savefile[] {
  const hint = hintOf(accessKeyOf(secret), Math.floor((START_SECONDS * 1000) / EPOCH_MS));
  const path = (name: string): string => join(folder, `${name}.pcap`);
  const junk = (name: string, kind: Junk, packets: number): Omit<Savefile, 'readers' | 'badTags'> => {
    const count = Math.max(SLOW, Math.round(packets * share));
    writeJunk({ path: path(name), junk: kind, count, format: 'pcap', startSeconds: START_SECONDS });
    return { what: nameOf(kind), path: path(name), count };
  };
  const sniffed = junk('sniffed', { kind: 'spa', hint }, 300_000);
  const slow = { badTags: 0, readers: ['default'] } as const;
  return [
    {
      ...junk('other', { kind: 'unrelated' }, 1_000_000),
      ...{ badTags: 0, readers: ['floor', 'ours', ...FWKNOPD_VARIANTS] },
    },
    { ...junk('spa', { kind: 'spa' }, 1_000_000), badTags: 0, readers: ['floor', 'ours', 'tuned'] },
    { ...junk('spa-slow', { kind: 'spa' }, SLOW), ...slow },
    { ...sniffed, badTags: sniffed.count, readers: ['floor', 'ours'] },
    { ...junk('text', { kind: 'text' }, 300_000), badTags: 0, readers: ['floor', 'tuned'] },
    { ...junk('text-slow', { kind: 'text' }, SLOW), ...slow },
  ];
}

/** A way resolves to the seconds that it took. */
function wayOf(
  reader: Savefile['readers'][number],
  { file, folder, floor, secret }: { file: Savefile; folder: string; floor: string; secret: Buffer },
): Way {
  switch (reader) {
    case 'floor':
      return async () => count(floor, file);
    case 'ours':
      return () => listen(file, secret);
    case 'default':
    case 'tuned':
      return () => fwknopd(folder, reader, file);
  }
}

async function listen({ path, count: packets, badTags }: Savefile, secret: Buffer): Promise<number> {
  let seen = 0;
  let refused = 0;
  const listener = new KnockListener({
    source: captureFile(path),
    schemes: [
      spa({ gateway: 'gw.example', accessKeys: [secret], services: ['ssh'], clients: { alice: { secret } } }),
    ],
    driver: mock(),
    services: { ssh: { port: 22 } },
    clients: [{ name: 'alice', services: ['ssh'] }],
    metrics: { ...noMetrics, packet: () => (seen += 1), reject: () => (refused += 1) },
  });
  const began = performance.now();
  await listener.start();
  await once(listener, 'end');
  const seconds = (performance.now() - began) / 1000;
  await listener.stop();
  must(seen === packets && refused === badTags, `${seen} of ${packets} packets, ${refused} bad tags`);
  return seconds;
}

function count(program: string, { path, count: packets }: Savefile): number {
  const { stdout } = spawnSync(program, [path], { encoding: 'utf8' });
  const [found, ns] = stdout.split(' ').map(Number);
  must(found === packets, `the floor counts ${String(found)} packets of ${packets}`);
  return (ns ?? Number.NaN) / 1e9;
}

/** It does not end with the file, so its place in the file is watched. */
async function fwknopd(folder: string, variant: FwknopdVariant, { path }: Savefile): Promise<number> {
  const args = ['-f', '-t', '-c', join(folder, `${variant}.conf`), '-a', join(folder, 'access.conf')];
  const child = spawn('unshare', ['-n', 'fwknopd', ...args, '--pcap-file', path], { stdio: 'ignore' });
  try {
    const size = statSync(path).size;
    const place = placeIn(path, child.pid ?? 0);
    // From the last look before it began.
    let began = performance.now();
    for (let now = began; place() <= BUFFERED; now = performance.now()) {
      began = now;
      await pause(1);
    }
    while (place() < size) await pause(1);
    return (performance.now() - began) / 1000;
  } finally {
    await ended(child, 'SIGKILL');
  }
}

/** How far a process has read a file, bytes; 0 while it does not have it open. */
function placeIn(path: string, pid: number): () => number {
  let number: string | undefined;
  return () => {
    try {
      number ??= readdirSync(`/proc/${pid}/fd`).find((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`) === path);
      if (number === undefined) return 0;
      return Number(/^pos:\s*(\d+)/u.exec(readFileSync(`/proc/${pid}/fdinfo/${number}`, 'latin1'))?.[1]);
    } catch {
      // Descriptors come and go while they are listed.
      return 0;
    }
  };
}

async function configure(folder: string, variant: FwknopdVariant): Promise<void> {
  const file = (name: string): string => join(folder, name);
  const put = (name: string, lines: readonly string[]): Promise<void> =>
    writeFile(file(name), `${lines.join('\n')}\n`, { mode: 0o600 });
  const key = (bytes: number): string => randomBytes(bytes).toString('base64');
  await put('access.conf', [
    'SOURCE ANY',
    'OPEN_PORTS tcp/22',
    `KEY_BASE64 ${key(32)}`,
    `HMAC_KEY_BASE64 ${key(64)}`,
  ]);
  await put(`${variant}.conf`, [
    ...[`FWKNOP_RUN_DIR ${folder};`, `FWKNOP_PID_FILE ${file(`${variant}.pid`)};`],
    `DIGEST_FILE ${file(`${variant}.digest`)};`,
    ...(variant === 'tuned' ? ['PCAP_DISPATCH_COUNT 1000000;', 'PCAP_LOOP_SLEEP 1000;'] : []),
  ]);
}

function compileFloor(folder: string): string {
  const source = fileURLToPath(new URL('./native/pcap-count.c', import.meta.url));
  const program = join(folder, 'pcap-count');
  const { status, stderr } = spawnSync('cc', ['-O2', '-o', program, source, '-lpcap'], { encoding: 'utf8' });
  must(status === 0, `cc pcap-count.c: ${stderr} (apt-get install libpcap-dev)`);
  return program;
}

function rowOf(
  reader: Savefile['readers'][number],
  { what, badTags }: Savefile,
  rates: readonly number[],
): Row {
  const figures = { unit: UNIT, median: spread(rates).median };
  switch (reader) {
    case 'floor':
      return { subject: FLOOR, variant: what, ...figures };
    case 'ours':
      return {
        ...{ subject: 'portknock', scheme: 'spa', variant: what, ...figures },
        ...(badTags === 0 ? {} : { note: 'one MAC per packet' }),
      };
    case 'default':
    case 'tuned':
      return { subject: 'fwknopd', variant: `${reader}, ${what}`, ...figures };
  }
}
