// The stores of this package against the suite that every store must pass.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileReplay } from '../../lib/replay/file.ts';
import { memoryReplay } from '../../lib/replay/memory.ts';
import { storeConformance } from '../../lib/testing/store-suite.ts';

describe('memoryReplay, as a replay store', () => {
  const make = () =>
    Promise.resolve({ store: memoryReplay(), again: memoryReplay, dispose: () => Promise.resolve() });
  for (const { title, run } of storeConformance({ make, durable: false })) it(title, run);
});

describe('fileReplay, as a replay store', () => {
  const make = async () => {
    const directory = await mkdtemp(join(tmpdir(), 'portknock-store-'));
    const path = join(directory, 'state', 'replay');
    return {
      store: fileReplay(path),
      again: () => fileReplay(path),
      dispose: () => rm(directory, { recursive: true }),
    };
  };
  for (const { title, run } of storeConformance({ make, durable: true })) it(title, run);
});
