// The hashed one-time sequence: what junk costs (one look-up, no cryptography), what a knock costs, what a step
// costs when time moves on, and what the client pays to make its knocks.

import { createHmac } from 'node:crypto';
import { SYN } from '../lib/packet/view.ts';
import { oneTime, type OneTimeClient } from '../lib/scheme/one-time.ts';
import { oneTimeKnocks } from '../lib/scheme/one-time-key.ts';
import { must, type Bench } from './bench.ts';
import { inTurn, matcher, noise, noiseBytes, round, viewOf } from './packets.ts';

const AT_MS = 1_700_000_000_000;
const STEP = AT_MS / 10_000;
const unit = 'packets';

export async function oneTimeBench(bench: Bench): Promise<void> {
  await junk(bench);
  await knocks(bench);
  await keys(bench);
}

async function junk(bench: Bench): Promise<void> {
  const next = noise();
  const tags = round(() => viewOf({ dstPort: 20_000 + next(32_768), payload: noiseBytes(next, 16) }, AT_MS));
  const others = round(() => viewOf({ dstPort: next(65_536), payload: noiseBytes(next, 48) }, AT_MS));
  for (const count of [1, 1000]) {
    const match = matcher(oneTime({ clients: clients(count) }));
    const bareMap = new Map(
      Array.from({ length: count * 7 * 5 }, () => [noiseBytes(next, 4).readInt32BE(0), {}]),
    );
    const bare = await bench.row(
      `bare: read 4 bytes, look them up in a Map, ${count} clients`,
      inTurn(tags, ({ bytes, payloadStart }) => bareMap.get(bytes.readInt32BE(payloadStart))),
      { unit },
    );
    const name = `junk of a tag's length, ${count} clients`;
    must(tags.every((view) => match(view) === null) && others.every((view) => match(view) === null), name);
    await bench.row(name, inTurn(tags, match), { unit, beside: bare, allocates: 'nothing' });
    const other = `junk of another length, ${count} clients`;
    await bench.row(other, inTurn(others, match), { unit, beside: bare, allocates: 'nothing' });
  }
  const match = matcher(oneTime({ clients: clients(100, { carrier: 'tcp' }) }));
  const syns = round(() =>
    viewOf(
      { protocol: 'tcp', flags: SYN, src: `198.18.${next(256)}.${next(256)}`, dstPort: 1 + next(65_535) },
      AT_MS,
    ),
  );
  await bench.row('junk SYNs, tcp carrier, 100 clients', inTurn(syns, match), { unit, allocates: 'nothing' });
}

async function knocks(bench: Bench): Promise<void> {
  const all = clients(16);
  const match = matcher(oneTime({ clients: all }));
  const sequences = Object.values(all).map((key) =>
    oneTimeKnocks(key, STEP).map(({ port, tag }) => viewOf({ dstPort: port, payload: tag }, AT_MS)),
  );
  const sequence = inTurn(sequences, (views) => {
    let last = null;
    for (const view of views) last = match(view);
    return last;
  });
  must(
    sequences.every((_) => sequence()?.kind === 'request'),
    'a sequence completes',
  );
  await bench.row('a whole knock: five valid tags', sequence, { unit: 'knocks' });
  const wrong = sequences.flatMap((views) =>
    views.map((view) => viewOf({ dstPort: view.dstPort ^ 1, payload: tagOf(view) }, AT_MS)),
  );
  await bench.row('a valid tag on a port that is not its own', inTurn(wrong, match), { unit });
}

async function keys(bench: Bench): Promise<void> {
  const key = { secret: noiseBytes(noise(), 32) };
  const message = Buffer.alloc(37, 1);
  const bare = await bench.row('bare: ten HMAC-SHA256 (createHmac)', () => tenMacs(key.secret, message));
  let step = STEP;
  const seal = (): unknown => oneTimeKnocks(key, (step += 1));
  await bench.row("seal: one step's five ports and tags", seal, { beside: bare });
  for (const count of [1, 100]) {
    const match = matcher(oneTime({ clients: clients(count) }));
    const view = viewOf({ dstPort: 30_000, payload: Buffer.alloc(16) }, AT_MS);
    const move = (): unknown => {
      view.timeMs += 10_000;
      return match(view);
    };
    await bench.row(`a step passes, per client of ${count}`, move, { per: count, beside: bare });
  }
}

function tenMacs(secret: Uint8Array, message: Uint8Array): Buffer | null {
  let last: Buffer | null = null;
  for (let i = 0; i < 10; i += 1) last = createHmac('sha256', secret).update(message).digest();
  return last;
}

function clients(count: number, more: Partial<OneTimeClient> = {}): Record<string, OneTimeClient> {
  const next = noise(7);
  return Object.fromEntries(
    Array.from({ length: count }, (_, i) => [`client-${i}`, { secret: noiseBytes(next, 32), ...more }]),
  );
}

function tagOf({ bytes, payloadStart }: { bytes: Buffer; payloadStart: number }): Buffer {
  return bytes.subarray(payloadStart, payloadStart + 16);
}
