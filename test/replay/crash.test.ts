// A replay file whose process or machine dies, or whose disk fails, before any one of its operations: whatever was
// accepted before stays refused, and a refusal window does not get shorter.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import * as log from '../../lib/replay/log.ts';
import { virtualClock, type VirtualClock } from '../../lib/testing/clock.ts';
import { WINDOW_MS, inDirectory, openStore } from './bench.ts';
import { FakeDisk, type Crash } from './fake-disk.ts';

const CRASHES: readonly Crash[] = ['kill', 'power', 'mixed', 'mixed', 'mixed'];

interface Story {
  /** Claims that were answered `claimed`. */
  readonly accepted: [client: string, counter: bigint][];
  /** Until when the store must refuse, when it began to. */
  refusedUntil: number;
}

type Life = (path: string, disk: FakeDisk, clock: VirtualClock, story: Story) => Promise<void>;

const LIVES: Readonly<
  Record<string, { readonly before?: Buffer; readonly live: Life; readonly atLeastSteps: number }>
> = {
  'a first start': {
    atLeastSteps: 8,
    live: async (path, disk, clock, story) => {
      const { store } = await openStore(path, clock, disk.files);
      story.refusedUntil = clock.now() + WINDOW_MS;
      await store.close();
    },
  },
  'a few claims': {
    before: log.encodeLog(new Map(), { origin: 'deliberate', refuseUntil: 0 }),
    atLeastSteps: 13,
    live: async (path, disk, clock, story) => {
      const { store } = await openStore(path, clock, disk.files);
      const claim = async (client: string, counter: bigint): Promise<void> => {
        if ((await store.claim(client, counter)) === 'claimed') story.accepted.push([client, counter]);
      };
      try {
        for (let i = 1n; i < 4n; i += 1n) await claim('alice', i);
        await Promise.all(Array.from({ length: 40 }, (_, i) => claim(`client-${String(i)}`, 5n)));
        await claim('alice', 9n);
      } finally {
        await store.close();
      }
    },
  },
  'the rewriting of a full log': {
    before: almostFull(),
    atLeastSteps: 12,
    live: async (path, disk, clock, story) => {
      const { store } = await openStore(path, clock, disk.files);
      story.accepted.push(['alice', 1635n], ['bob', 7n]);
      try {
        for (let i = 2000n; i < 2004n; i += 1n) {
          if ((await store.claim('alice', i)) === 'claimed') story.accepted.push(['alice', i]);
        }
      } finally {
        await store.close();
      }
    },
  },
  'a start on a damaged file': {
    before: damaged(),
    atLeastSteps: 8,
    live: async (path, disk, clock, story) => {
      story.accepted.push(['alice', 1634n], ['bob', 7n]);
      story.refusedUntil = clock.now() + WINDOW_MS;
      const { store } = await openStore(path, clock, disk.files);
      await store.close();
    },
  },
};

describe('fileReplay, when everything stops', () => {
  for (const [name, { before, live, atLeastSteps }] of Object.entries(LIVES)) {
    it(`keeps its promises at every step of ${name}`, () =>
      inDirectory(async (directory) => {
        const path = join(directory, 'replay');
        let crashAt = 0;
        for (; ; crashAt += 1) {
          const disk = new FakeDisk();
          disk.random = seeded(crashAt);
          disk.plan = (step) => (step >= crashAt ? 'EIO' : null);
          if (before !== undefined) disk.write(path, before);
          const clock = virtualClock();
          const story: Story = { accepted: [], refusedUntil: 0 };
          await live(path, disk, clock, story).catch(() => undefined);
          for (const crash of CRASHES) await assertKept(path, disk.after(crash), clock.now(), story);
          if (disk.steps <= crashAt) break;
        }
        assert.ok(crashAt >= atLeastSteps, `only ${String(crashAt)} steps`);
      }));
  }
});

describe('fileReplay, when its disk fails', () => {
  for (const code of ['ENOSPC', 'EIO']) {
    for (const operation of ['write', 'sync']) {
      it(`answers failed at a ${operation} with ${code}, keeps refusing, and recovers by itself`, () =>
        inDirectory(async (directory) => {
          const path = join(directory, 'replay');
          const disk = new FakeDisk();
          // Of ten records six are written, and a part of the seventh.
          disk.random = () => 0.66;
          disk.write(path, log.encodeLog(new Map(), { origin: 'deliberate', refuseUntil: 0 }));
          const { store, warnings } = await openStore(path, virtualClock(), disk.files);
          assert.equal(await store.claim('alice', 1n), 'claimed');
          disk.plan = (_, now) => (now === operation ? code : null);
          const names = ['alice', 'bob', ...Array.from({ length: 8 }, (_, i) => `client-${String(i)}`)];
          const crowd = await Promise.all(names.map((name) => store.claim(name, 2n)));
          assert.deepEqual(crowd, Array(10).fill('failed'));
          assert.equal(await store.claim('alice', 2n), 'replayed');
          assert.equal(await store.claim('alice', 3n), 'failed');
          assert.equal(warnings.length, 1, 'one warning for one failure');
          assert.match(warnings[0] ?? '', new RegExp(`cannot be written: ${code}.* \\(make room`, 'u'));
          disk.plan = () => null;
          assert.equal(await store.claim('alice', 3n), 'replayed');
          assert.equal(await store.claim('alice', 4n), 'claimed');
          assert.match(warnings[1] ?? '', /can be written again$/u);
          assert.equal(await store.claim('alice', 5n), 'claimed');
          await store.close();
          for (const crash of CRASHES) {
            const again = await openStore(path, virtualClock(), disk.after(crash).files);
            assert.deepEqual(again.warnings, []);
            assert.equal(await again.store.claim('alice', 5n), 'replayed');
            assert.equal(await again.store.claim('bob', 3n), 'claimed');
            await again.store.close();
          }
        }));
    }
  }

  it('fails to start when it cannot make its refusal durable, and leaves no lock', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'replay');
      const disk = new FakeDisk();
      disk.plan = (_, operation) => (operation === 'write' ? 'ENOSPC' : null);
      await assert.rejects(openStore(path, virtualClock(), disk.files), { code: 'ERR_REPLAY_WRITE' });
      disk.plan = () => null;
      const { store } = await openStore(path, virtualClock(), disk.files);
      assert.equal(await store.claim('alice', 1n), 'window');
      await store.close();
    }));
});

async function assertKept(path: string, disk: FakeDisk, now: number, story: Story): Promise<void> {
  const clock = virtualClock(now);
  const { store } = await openStore(path, clock, disk.files);
  const check = async (): Promise<void> => {
    for (const [client, counter] of story.accepted) {
      assert.notEqual(await store.claim(client, counter), 'claimed', `${client} ${String(counter)} again`);
    }
  };
  await check();
  if (story.refusedUntil > now) {
    await clock.advance(story.refusedUntil - now - 1);
    assert.equal(await store.claim('nobody', 1n), 'window');
    await clock.advance(1);
  }
  await clock.advance(WINDOW_MS);
  await check();
  assert.equal(await store.claim('nobody', 2n), 'claimed', 'it must accept again after a window');
  await store.close();
}

/** 1636 of 1637 slots are taken: `bob` 7, then `alice` 1 to 1635. */
function almostFull(): Buffer {
  const bytes = log.encodeLog(new Map([[log.clientKey('bob'), 7n]]), { origin: 'store', refuseUntil: 0 });
  for (let slot = 1; slot < 1636; slot += 1) {
    log.encodeRecord(bytes, log.offsetOf(slot), { key: log.clientKey('alice'), counter: BigInt(slot), slot });
  }
  return bytes;
}

function damaged(): Buffer {
  const bytes = almostFull();
  bytes.writeUInt8(1, log.offsetOf(1635) + 4);
  return bytes;
}

/** Numbers from 0 to 1 that are the same at every run (a linear congruential generator). */
function seeded(seed: number): () => number {
  let state = (seed * 2_654_435_761 + 12_345) >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}
