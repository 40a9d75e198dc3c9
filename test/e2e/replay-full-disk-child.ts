// Run by replay-full-disk.test.ts on a small disk of its own: fills it, claims until that fails, makes room again.

import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../../lib/clock.ts';
import { createReplayFile, fileReplay } from '../../lib/replay/file.ts';
import type { ClaimResult } from '../../lib/replay/store.ts';

const MOST_CLAIMS = 2000;
const [directory = ''] = process.argv.slice(2);
const path = join(directory, 'state', 'replay');
const warnings: string[] = [];
const context = { clock: systemClock, windowMs: 60_000, warning: (text: string) => warnings.push(text) };

await createReplayFile(path);
let store = fileReplay(path);
await store.open(context);
await fill();

let counter = 0n;
let result: ClaimResult = 'claimed';
while (result === 'claimed' && counter < MOST_CLAIMS) {
  counter += 1n;
  result = await store.claim('alice', counter);
}
const failedAt = Number(counter);
const again = await store.claim('alice', counter);
const whileFull = await store.claim('alice', counter + 1n);
await rm(join(directory, 'filler'));
const afterwards = await store.claim('alice', counter + 2n);
await store.close();
store = fileReplay(path);
await store.open(context);
const restarted = await store.claim('alice', counter + 2n);
await store.close();
process.stdout.write(JSON.stringify({ failedAt, result, again, whileFull, afterwards, restarted, warnings }));

/** Takes every free block, big pieces first. */
async function fill(): Promise<void> {
  for (const size of [65_536, 4096]) {
    try {
      for (;;) await writeFile(join(directory, 'filler'), Buffer.alloc(size), { flag: 'a' });
    } catch {
      continue;
    }
  }
}
