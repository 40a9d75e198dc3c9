// kill -9 in the middle of everything: what a process said it accepted, no later process accepts.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../../lib/clock.ts';
import { createReplayFile, fileReplay } from '../../lib/replay/file.ts';

const CHILD = fileURLToPath(new URL('replay-kill-child.ts', import.meta.url));
const ROUNDS = 8;
/** A whole line with a client and its counter. */
const ACCEPTED = / .*\n/u;

describe('fileReplay, killed', () => {
  it('accepts nothing again that a killed process accepted, and takes over its lock', async function () {
    this.timeout(400_000);
    const directory = await mkdtemp(join(tmpdir(), 'portknock-kill-'));
    const path = join(directory, 'replay');
    await createReplayFile(path);
    try {
      let highest = 0n;
      for (let round = 0; round < ROUNDS; round += 1) {
        const printed = await claimUntilKilled(path, highest, 20 + round * 37);
        assert.ok(printed.length > 0, 'the child accepted nothing before it was killed');
        const warnings: string[] = [];
        const store = fileReplay(path);
        await store.open({
          clock: systemClock,
          windowMs: 60_000,
          warning: (message) => warnings.push(message),
        });
        for (const [client, counter] of printed) assert.equal(await store.claim(client, counter), 'replayed');
        // A record cut by the kill is repaired; nothing else may have happened to the file.
        assert.ok(
          warnings.every((message) => message.includes('unfinished record')),
          warnings.join('\n'),
        );
        highest = printed.reduce((most, [, counter]) => (counter > most ? counter : most), highest) + 10n;
        assert.equal(await store.claim('alice', highest), 'claimed');
        await store.close();
        assert.deepEqual(await readdir(directory), ['replay']);
      }
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});

async function claimUntilKilled(path: string, first: bigint, aliveMs: number): Promise<[string, bigint][]> {
  const child = spawn(process.execPath, ['--import', 'tsx', CHILD, path, String(first + 1n)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  const closed = once(child, 'close');
  try {
    // However slow the disk is, something is accepted first.
    while (!ACCEPTED.test(text) && child.exitCode === null) await sleep(5);
    await sleep(aliveMs);
  } finally {
    child.kill('SIGKILL');
    await closed;
  }
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line.includes(' '))
    .map((line) => {
      const [client = '', counter = ''] = line.split(' ');
      return [client, BigInt(counter)];
    });
}
