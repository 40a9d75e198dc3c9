// Run by replay-kill.test.ts: claims rising counters for a few clients as fast as it can and prints each one that was
// accepted. Prints from the process itself, so that nothing printed is lost when it is killed.

import { writeSync } from 'node:fs';
import { systemClock } from '../../lib/clock.ts';
import { fileReplay } from '../../lib/replay/file.ts';

const [path = '', first = '0'] = process.argv.slice(2);
const store = fileReplay(path);
await store.open({
  clock: systemClock,
  windowMs: 60_000,
  warning: (message) => writeSync(2, `${message}\n`),
});
writeSync(1, 'ready\n');

async function claimForever(client: string): Promise<never> {
  for (let counter = BigInt(first); ; counter += 1n) {
    const result = await store.claim(client, counter);
    if (result === 'claimed') writeSync(1, `${client} ${String(counter)}\n`);
  }
}

await Promise.all(['alice', 'bob', 'carol', 'dave'].map(claimForever));
