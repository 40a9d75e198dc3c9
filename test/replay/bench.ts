// What the replay tests share: a directory of their own, and stores on a virtual clock that keep their warnings.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hostFiles, type Files } from '../../lib/replay/disk.ts';
import { fileReplayOn } from '../../lib/replay/file.ts';
import type { ReplayStore } from '../../lib/replay/store.ts';
import { virtualClock, type VirtualClock } from '../../lib/testing/clock.ts';

export const WINDOW_MS = 20_000;

export interface Opened {
  readonly store: ReplayStore;
  readonly warnings: readonly string[];
}

/** Runs `body` with a fresh directory and removes it afterwards. */
export async function inDirectory(body: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'portknock-replay-'));
  try {
    await body(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

export async function openStore(
  path: string,
  clock: VirtualClock = virtualClock(),
  files: Files = hostFiles,
): Promise<Opened> {
  const store = fileReplayOn(files, path);
  const warnings: string[] = [];
  await store.open({ clock, windowMs: WINDOW_MS, warning: (message) => warnings.push(message) });
  return { store, warnings };
}
