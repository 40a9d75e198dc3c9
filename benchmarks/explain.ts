// Explaining a capture beside the bare pipeline on the same one: what listening to every decision costs.

import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { captureFile } from '../lib/capture/file.ts';
import { explain } from '../lib/listener/explain.ts';
import { oneTime } from '../lib/scheme/one-time.ts';
import { figures, must, takeTurns, type Bench } from './bench.ts';
import { workFolder } from './machine.ts';
import { listen } from './pipeline.ts';
import { CLIENTS, writeTraffic, type Traffic } from './traffic.ts';

const PACKETS = 1_000_000;
const ROUNDS = 5;
/** What is promised: a million packets take no longer than so many times the bare pipeline. */
const MOST_TIMES = 3;

const KINDS: readonly (readonly [Traffic, string])[] = [
  ['other', 'packets of no interest'],
  ['aimed', 'junk aimed at the filter'],
  ['mixed', 'half and half, with valid knocks'],
];

export async function explainBench(bench: Bench): Promise<void> {
  await mkdir(workFolder, { recursive: true });
  const folder = await mkdtemp(join(workFolder, 'explain-'));
  try {
    for (const [traffic, what] of KINDS) {
      const path = join(folder, `${traffic}.pcap`);
      const count = bench.smoke ? 20_000 : PACKETS;
      const knocks = writeTraffic(path, traffic, count);
      const times = await takeTurns(
        { bare: () => listen(path, knocks), explained: () => explained(path, { count, knocks }) },
        bench.smoke ? 1 : ROUNDS,
      );
      await rm(path);
      const result = (way: keyof typeof times) => ({ ...figures(times[way], count), bytes: null });
      const unit = 'packets';
      const beside = bench.add(`captureFile to grants: ${what}`, result('bare'), { unit });
      const row = bench.add(`explain(): ${what}`, result('explained'), { unit, beside });
      must(bench.smoke || (row.times ?? 0) <= MOST_TIMES, `explaining takes ${row.times} times as long`);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function explained(
  path: string,
  { count, knocks }: { readonly count: number; readonly knocks: number },
): Promise<void> {
  let told = 0;
  const { packets, sources } = await explain({
    source: captureFile(path),
    schemes: [oneTime({ clients: CLIENTS })],
    services: { ssh: { port: 22 } },
    clients: Object.keys(CLIENTS).map((name) => ({ name, services: ['ssh'] })),
    told: ({ why }) => (told += why.length),
  });
  const opened = sources.reduce((sum, source) => sum + source.opened, 0);
  must(
    packets === count && opened === knocks,
    `${opened} of ${knocks} knocks, ${packets} of ${count} packets`,
  );
  must(knocks === 0 || told > 0, 'nothing was told');
}
