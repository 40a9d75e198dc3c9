// The file store against the slowest obvious model, a Map of the highest counter per client, through random lives:
// bursts of claims, restarts, crashes, power cuts, failing disks and clocks that are set.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import fc from 'fast-check';
import type { ReplayStore } from '../../lib/replay/store.ts';
import { virtualClock } from '../../lib/testing/clock.ts';
import { WINDOW_MS, inDirectory, openStore } from './bench.ts';
import { FakeDisk, type Crash } from './fake-disk.ts';

type Claim = readonly [client: number, counter: bigint];

type Step =
  | { readonly do: 'claim'; readonly burst: readonly Claim[] }
  | { readonly do: 'restart' }
  | {
      readonly do: 'crash';
      readonly how: Crash;
      readonly afterSteps: number;
      readonly burst: readonly Claim[];
    }
  | { readonly do: 'fail'; readonly on: 'write' | 'sync' | 'rename' | null }
  | { readonly do: 'advance'; readonly ms: number }
  | { readonly do: 'set'; readonly byMs: number };

const counter = fc.oneof(fc.bigInt(0n, 30n), fc.bigInt(0n, 2n ** 64n - 1n));
const burst = fc.array(fc.tuple(fc.nat(5), counter), { minLength: 1, maxLength: 12 });
// What is named several times comes several times as often.
const claims: fc.Arbitrary<Step> = fc.record({ do: fc.constant('claim' as const), burst });
const restarts: fc.Arbitrary<Step> = fc.record({ do: fc.constant('restart' as const) });
const crashes: fc.Arbitrary<Step> = fc.record({
  do: fc.constant('crash' as const),
  how: fc.constantFrom('kill' as const, 'power' as const, 'mixed' as const),
  afterSteps: fc.nat(4),
  burst,
});
const faults: fc.Arbitrary<Step> = fc.record({
  do: fc.constant('fail' as const),
  on: fc.constantFrom('write' as const, 'sync' as const, 'rename' as const, null),
});
const waits: fc.Arbitrary<Step> = fc.record({ do: fc.constant('advance' as const), ms: fc.nat(WINDOW_MS) });
const clockSteps: fc.Arbitrary<Step> = fc.record({
  do: fc.constant('set' as const),
  byMs: fc.integer({ min: -1e9, max: 1e9 }),
});
const steps = fc.array(
  fc.oneof(claims, claims, claims, claims, restarts, crashes, crashes, faults, waits, clockSteps),
  { maxLength: 25 },
);

describe('fileReplay, compared with a Map', () => {
  it('accepts what the model accepts and never anything twice', () =>
    inDirectory(async (directory) => {
      let run = 0;
      let claimed = 0;
      const dice: fc.Arbitrary<fc.Stream<number>> = fc.infiniteStream(
        fc.double({ min: 0, max: 0.99, noNaN: true }),
      );
      const property = fc.asyncProperty(steps, dice, async (life, random) => {
        run += 1;
        claimed += await live(
          join(directory, `replay-${String(run)}`),
          life,
          () => random.take(1).getNthOrLast(0) ?? 0,
        );
      });
      await fc.assert(property, { numRuns: 300 });
      assert.ok(claimed > 1000, `only ${String(claimed)} claims got through, so little was tried`);
    })).timeout(180_000);
});

/** Plays a life and returns how many claims were accepted. */
async function live(path: string, life: readonly Step[], random: () => number): Promise<number> {
  const clock = virtualClock();
  // A claim that failed is refused by the store that failed it, and may be refused by later ones: so there are three
  // floors, of what was accepted, of what the present store was asked, and of what any was.
  const accepted = new Map<number, bigint>();
  const asked = new Map<number, bigint>();
  let present = new Map<number, bigint>();
  let disk = new FakeDisk();
  disk.random = random;
  let isFailing = false;
  let claimed = 0;
  let store: ReplayStore = (await openStore(path, clock, disk.files)).store;
  await clock.advance(WINDOW_MS);

  const claim = async (burst: readonly Claim[]): Promise<void> => {
    const results = await Promise.all(burst.map(([who, what]) => store.claim(nameOf(who), what)));
    if (results.every((result) => result === 'window')) return;
    for (const [i, [who, what]] of burst.entries()) {
      const result = results[i];
      if (result === 'replayed') assert.ok(what <= floorOf(asked, who), `${String(what)} was refused`);
      else assert.ok(what > floorOf(present, who), `${String(what)} was ${String(result)}`);
      if (result !== 'claimed')
        assert.ok(result === 'replayed' || (result === 'failed' && isFailing), result);
      else {
        raise(accepted, who, what);
        claimed += 1;
      }
      raise(present, who, what);
      raise(asked, who, what);
    }
  };
  const reopen = async (): Promise<void> => {
    disk.plan = () => null;
    isFailing = false;
    present = new Map(accepted);
    store = (await openStore(path, clock, disk.files)).store;
  };

  for (const step of life) {
    switch (step.do) {
      case 'claim':
        await claim(step.burst);
        break;
      case 'restart':
        await store.close();
        await reopen();
        break;
      case 'crash': {
        const last = disk.steps + step.afterSteps;
        disk.plan = (at) => (at >= last ? 'EIO' : null);
        isFailing = true;
        await claim(step.burst);
        await store.close();
        disk = disk.after(step.how);
        await reopen();
        break;
      }
      case 'fail':
        isFailing = step.on !== null;
        disk.plan = (_, operation) => (operation === step.on ? 'ENOSPC' : null);
        break;
      case 'advance':
        await clock.advance(step.ms);
        break;
      case 'set':
        clock.set(clock.now() + step.byMs);
        break;
    }
  }
  await store.close();
  await reopen();
  await clock.advance(2 * WINDOW_MS);
  await claim([...accepted]);
  await store.close();
  return claimed;
}

function nameOf(client: number): string {
  return `client-${String(client)}`;
}

function floorOf(floors: ReadonlyMap<number, bigint>, client: number): bigint {
  return floors.get(client) ?? -1n;
}

function raise(floors: Map<number, bigint>, client: number, counter: bigint): void {
  if (counter > floorOf(floors, client)) floors.set(client, counter);
}
