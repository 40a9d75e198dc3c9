// Claiming a counter: in memory, and on a real disk where it has to be on stable storage before the port opens. The
// floor is what the disk takes for the same bytes: one positioned write and one fdatasync.

import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../lib/clock.ts';
import { createReplayFile, fileReplay } from '../lib/replay/file.ts';
import { memoryReplay } from '../lib/replay/memory.ts';
import type { ReplayStore } from '../lib/replay/store.ts';
import { allocated, figures, must, takeTurns, type Bench, type Row } from './bench.ts';
import { workFolder } from './machine.ts';

const RECORD_BYTES = 40;
const AT_ONCE = 200;
/** Positions in the file of the bare writes; as many as the store has slots before it starts over. */
const SLOTS = 4096;
const unit = 'claims';
const ROUNDS = 2000;

export async function replay(bench: Bench): Promise<void> {
  await mkdir(workFolder, { recursive: true });
  const folder = await mkdtemp(join(workFolder, 'replay-'));
  try {
    await inMemory(bench);
    await onDisk(bench, folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function inMemory(bench: Bench): Promise<void> {
  const store = memoryReplay();
  await opened(store);
  let counter = 0n;
  const bare = await bench.row('bare: a Promise, awaited', async () => Promise.resolve('claimed'), { unit });
  await bench.row('memory: claimed', async () => store.claim('field', (counter += 1n)), {
    unit,
    beside: bare,
  });
  await bench.row('memory: replayed', async () => store.claim('field', 1n), { unit, beside: bare });
  await store.close();
}

async function onDisk(bench: Bench, folder: string): Promise<void> {
  const handle = await open(join(folder, 'bare'), 'w+');
  await handle.write(Buffer.alloc(SLOTS * RECORD_BYTES));
  await handle.sync();
  let slot = 0;
  const write = async (records: number): Promise<void> => {
    slot = slot + records > SLOTS ? records : slot + records;
    await handle.write(Buffer.alloc(records * RECORD_BYTES, slot), 0, null, (slot - records) * RECORD_BYTES);
    await handle.datasync();
  };
  const path = join(folder, 'replay');
  await createReplayFile(path);
  const store = fileReplay(path);
  await opened(store);
  let counter = 0n;
  const claim = async (): Promise<string> => store.claim('field', (counter += 1n));
  must((await claim()) === 'claimed', 'a counter is claimed');

  const claims = (): Promise<unknown> => Promise.all(Array.from({ length: AT_ONCE }, claim));
  // In turns, because a disk is not the same from one second to the next.
  const ways = { one: () => write(1), claim, many: () => write(AT_ONCE), claims };
  const times = await takeTurns(ways, bench.smoke ? 2 : ROUNDS);
  const add = async (way: keyof typeof ways, name: string, per: number, beside?: Row): Promise<Row> => {
    const calls = bench.smoke ? 1 : 50;
    const bytes = await allocated(async () => {
      for (let i = 0; i < calls; i += 1) await ways[way]();
    });
    return bench.add(name, { ...figures(times[way], per), bytes: bytes / calls / per }, { unit, beside });
  };
  const one = await add('one', 'bare: write of 40 bytes, fdatasync', 1);
  await add('claim', 'file: one claim after the other', 1, one);
  const many = await add('many', `bare: write of ${AT_ONCE} x 40 bytes, fdatasync`, AT_ONCE);
  await add('claims', `file: ${AT_ONCE} claims at once`, AT_ONCE, many);
  await bench.row('file: replayed', async () => store.claim('field', 1n), { unit });
  must((await store.claim('field', 1n)) === 'replayed', 'an old counter is refused');
  await store.close();
  await handle.close();
}

async function opened(store: ReplayStore): Promise<void> {
  await store.open({ clock: systemClock, windowMs: 70_000, warning: () => undefined });
}
