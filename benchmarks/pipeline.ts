// The whole way of a packet, from a savefile of a million of them to grants on the mock driver, beside tcpdump, which
// reads the same file and does nothing with it: the floor.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { captureFile } from '../lib/capture/file.ts';
import { captureFilter } from '../lib/capture/filter.ts';
import { systemClock } from '../lib/clock.ts';
import { mock } from '../lib/firewall/mock.ts';
import { KnockListener } from '../lib/listener/listener.ts';
import { oneTime } from '../lib/scheme/one-time.ts';
import { ALLOCATES, allocated, figures, must, takeTurns, type Bench, type Row } from './bench.ts';
import { workFolder } from './machine.ts';
import { CLIENTS, writeTraffic, type Traffic } from './traffic.ts';

const PACKETS = 1_000_000;
const ROUNDS = 9;
const hasTcpdump = spawnSync('tcpdump', ['--version']).error === undefined;

const KINDS: readonly (readonly [Traffic, string])[] = [
  ['other', 'packets of no interest'],
  ['aimed', 'junk aimed at the filter'],
  ['mixed', 'half and half, with valid knocks'],
];

export async function pipeline(bench: Bench): Promise<void> {
  await mkdir(workFolder, { recursive: true });
  if (!hasTcpdump) bench.note('tcpdump is not here (apt-get install tcpdump): no floor');
  const folder = await mkdtemp(join(workFolder, 'pipeline-'));
  try {
    for (const [traffic, what] of KINDS) await measure(bench, { folder, traffic, what });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function measure(
  bench: Bench,
  { folder, traffic, what }: { folder: string; traffic: Traffic; what: string },
): Promise<void> {
  const path = join(folder, `${traffic}.pcap`);
  const count = bench.smoke ? 20_000 : PACKETS;
  const knocks = writeTraffic(path, traffic, count);
  const filter = captureFilter(oneTime({ clients: CLIENTS }).needs, Date.now());
  const rounds = bench.smoke ? 1 : ROUNDS;
  const ours = { reader: () => readAlone(path, count), ours: () => listen(path, knocks) };
  const floors = { tcpdump: () => tcpdump(path, []), filtered: () => tcpdump(path, [filter]) };
  const times = await takeTurns<keyof typeof ours | keyof typeof floors>(
    hasTcpdump ? { ...floors, ...ours } : { tcpdump: nothing, filtered: nothing, ...ours },
    rounds,
  );
  const bytes = await leastAllocated(() => listen(path, knocks), count);
  const readBytes = await leastAllocated(() => readAlone(path, count), count);
  await rm(path);

  const unit = 'packets';
  const result = (way: keyof typeof times, heap: number | null) => ({
    ...figures(times[way], count),
    bytes: heap,
  });
  let beside: Row | undefined;
  if (hasTcpdump) {
    beside = bench.add(`tcpdump -r FILE -w /dev/null: ${what}`, result('tcpdump', null), { unit });
    bench.add(`tcpdump -r FILE -w /dev/null FILTER: ${what}`, result('filtered', null), { unit, beside });
  }
  bench.add(`captureFile alone: ${what}`, result('reader', readBytes), { unit, beside });
  bench.add(`captureFile to grants: ${what}`, result('ours', bytes), { unit, beside });
  must(bench.smoke || traffic !== 'other' || bytes < ALLOCATES, `${what} allocate ${bytes} bytes`);
  if (knocks > 0) bench.note(`${knocks} knocks in the file, ${knocks} grants`);
}

const nothing = (): Promise<void> => Promise.resolve();

/** The bare pipeline. */
export async function listen(path: string, knocks: number): Promise<void> {
  const listener = new KnockListener({
    source: captureFile(path),
    schemes: [oneTime({ clients: CLIENTS })],
    driver: mock(),
    services: { ssh: { port: 22 } },
    clients: Object.keys(CLIENTS).map((name) => ({ name, services: ['ssh'] })),
  });
  let grants = 0;
  listener.on('grant', () => (grants += 1));
  await listener.start();
  await once(listener, 'end');
  await listener.stop();
  must(grants === knocks, `${grants} grants for ${knocks} knocks`);
}

async function readAlone(path: string, expected: number): Promise<void> {
  const source = captureFile(path);
  let packets = 0;
  await new Promise<void>((resolve, reject) => {
    const sink = {
      frame: () => {
        packets += 1;
      },
      end: resolve,
      warning: () => undefined,
      dropped: () => undefined,
      error: reject,
    };
    source.open({ sink, clock: systemClock, needs: [] }).catch(reject);
  });
  await source.close();
  must(packets === expected, `${packets} packets of ${expected}`);
}

async function tcpdump(path: string, filter: readonly string[]): Promise<void> {
  const child = spawn('tcpdump', ['-r', path, '-w', '/dev/null', ...filter], { stdio: 'ignore' });
  const [status] = (await once(child, 'exit')) as [number | null];
  must(status === 0, `tcpdump ended with ${status ?? 'a signal'}`);
}

/** Per packet. The compiler allocates as well, but not every time. */
async function leastAllocated(run: () => Promise<void>, packets: number): Promise<number> {
  const found: number[] = [];
  for (let i = 0; i < 3; i += 1) found.push((await allocated(run)) / packets);
  return Math.min(...found);
}
