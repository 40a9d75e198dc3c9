// A replay file as the operator meets it: what is made, what is refused and what is said about it.

import assert from 'node:assert/strict';
import { readFile, readdir, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isKnockError } from '../../lib/errors.ts';
import { createReplayFile } from '../../lib/replay/file.ts';
import * as log from '../../lib/replay/log.ts';
import { virtualClock } from '../../lib/testing/clock.ts';
import { WINDOW_MS, inDirectory, openStore } from './bench.ts';

describe('fileReplay', () => {
  it('makes a missing file and its directory for its owner only, and says until when it refuses', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'a', 'b', 'replay');
      const clock = virtualClock(Date.parse('2026-01-01T00:00:00Z'));
      const { store, warnings } = await openStore(path, clock);
      await store.close();
      assert.equal((await stat(path)).mode & 0o7777, 0o600);
      assert.equal((await stat(join(directory, 'a', 'b'))).mode & 0o7777, 0o700);
      assert.equal((await stat(join(directory, 'a'))).mode & 0o7777, 0o700);
      assert.equal(warnings.length, 1);
      assert.match(warnings[0] ?? '', /was missing \(knocks are refused until 2026-01-01T00:00:20\.000Z/u);
      assert.deepEqual(await readdir(join(directory, 'a', 'b')), ['replay']);
    }));

  it('says nothing about a sound file', () =>
    inDirectory(async (directory) => {
      const clock = virtualClock();
      const path = join(directory, 'replay');
      await (await openStore(path, clock)).store.close();
      await clock.advance(WINDOW_MS);
      const { store, warnings } = await openStore(path, clock);
      assert.deepEqual(warnings, []);
      await store.close();
    }));

  it('tells of a window that an earlier start began', () =>
    inDirectory(async (directory) => {
      const clock = virtualClock();
      const path = join(directory, 'replay');
      await (await openStore(path, clock)).store.close();
      await clock.advance(WINDOW_MS - 1);
      const { store, warnings } = await openStore(path, clock);
      assert.match(warnings.join('\n'), /^replay file .* at an earlier start \(knocks are refused until /u);
      assert.equal(await store.claim('alice', 1n), 'window');
      await store.close();
    }));

  it('refuses nothing on a file that was made on purpose', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'state', 'replay');
      await createReplayFile(path);
      assert.equal((await stat(path)).mode & 0o7777, 0o600);
      const { store, warnings } = await openStore(path);
      assert.equal(await store.claim('alice', 1n), 'claimed');
      assert.deepEqual(warnings, []);
      await store.close();
    }));

  it('does not make a file on purpose where there is one', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'replay');
      await writeFile(path, 'precious');
      await assert.rejects(createReplayFile(path), (error) => {
        assert.ok(isKnockError(error));
        assert.equal(error.code, 'ERR_REPLAY_WRITE');
        assert.match(error.message, /it exists already/u);
        return true;
      });
      assert.equal(await readFile(path, 'utf8'), 'precious');
    }));

  it('drops an unfinished last record with a warning, and goes on at once', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'replay');
      await createReplayFile(path);
      const first = await openStore(path);
      for (const counter of [1n, 2n]) assert.equal(await first.store.claim('alice', counter), 'claimed');
      await first.store.close();
      const bytes = await readFile(path);
      log.encodeRecord(bytes, log.offsetOf(2), { key: log.clientKey('alice'), counter: 3n, slot: 2 });
      await writeFile(path, bytes.fill(0, log.offsetOf(2) + 20, log.offsetOf(3)));
      const { store, warnings } = await openStore(path);
      assert.match(warnings.join('\n'), /^replay file .* ended in an unfinished record, which was dropped/u);
      assert.equal(await store.claim('alice', 2n), 'replayed');
      assert.equal(await store.claim('alice', 3n), 'claimed');
      await store.close();
      const again = await openStore(path);
      assert.deepEqual(again.warnings, []);
      assert.equal(await again.store.claim('alice', 3n), 'replayed');
      await again.store.close();
    }));

  const damage: readonly [what: string, harm: (path: string) => Promise<void>, said: RegExp][] = [
    ['emptied', (path) => truncate(path, 0), /was damaged: its header is damaged/u],
    [
      'cut between two records',
      (path) => truncate(path, log.offsetOf(2)),
      /it has 120 bytes instead of 65520/u,
    ],
    [
      'cut within its last record',
      (path) => truncate(path, log.offsetOf(3) - 7),
      /it has 153 bytes instead/u,
    ],
    [
      'changed in its first record',
      (path) => flip(path, log.offsetOf(0) + 3),
      /slot 0 does not hold what was/u,
    ],
    [
      'changed in its last record',
      (path) => flip(path, log.offsetOf(2) + 22),
      /slot 2 does not hold what was/u,
    ],
    ['changed in its free part', (path) => flip(path, 60_000), /slot 1499 does not hold what was/u],
  ];
  for (const [what, harm, said] of damage) {
    it(`refuses for one window, also after a restart, when the file was ${what}`, () =>
      inDirectory(async (directory) => {
        const path = join(directory, 'replay');
        await createReplayFile(path);
        const first = await openStore(path);
        for (const counter of [1n, 2n, 3n])
          assert.equal(await first.store.claim('alice', counter), 'claimed');
        await first.store.close();
        await harm(path);
        const clock = virtualClock();
        const { store, warnings } = await openStore(path, clock);
        assert.match(warnings.join('\n'), said);
        assert.equal(await store.claim('alice', 9n), 'window');
        await store.close();
        await clock.advance(WINDOW_MS - 1);
        const again = await openStore(path, clock);
        assert.equal(await again.store.claim('alice', 9n), 'window');
        await clock.advance(1);
        assert.equal(await again.store.claim('alice', 9n), 'claimed');
        await again.store.close();
      }));
  }

  it('keeps the floors of the good records of a damaged file', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'replay');
      await createReplayFile(path);
      const first = await openStore(path);
      for (const name of ['alice', 'bob', 'carol'])
        assert.equal(await first.store.claim(name, 7n), 'claimed');
      await first.store.close();
      await flip(path, log.offsetOf(1) + 20);
      const clock = virtualClock();
      const { store } = await openStore(path, clock);
      await clock.advance(WINDOW_MS);
      assert.equal(await store.claim('alice', 7n), 'replayed');
      assert.equal(await store.claim('carol', 7n), 'replayed');
      await store.close();
    }));

  it('finishes what was claimed before it was closed, in this turn and earlier ones', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'replay');
      await createReplayFile(path);
      const { store } = await openStore(path);
      const first = store.claim('alice', 1n);
      await Promise.resolve();
      await Promise.resolve();
      const rest = [2n, 3n].map((counter) => store.claim('alice', counter));
      await store.close();
      assert.deepEqual(await Promise.all([first, ...rest]), ['claimed', 'claimed', 'claimed']);
    }));

  it('refuses for longer, but for one window at the most, when the clock is set back meanwhile', () =>
    inDirectory(async (directory) => {
      const clock = virtualClock();
      const { store } = await openStore(join(directory, 'replay'), clock);
      clock.set(clock.now() - 5000);
      await clock.advance(WINDOW_MS);
      assert.equal(await store.claim('alice', 1n), 'window');
      await clock.advance(4999);
      assert.equal(await store.claim('alice', 1n), 'window');
      await clock.advance(1);
      assert.equal(await store.claim('alice', 1n), 'claimed');
      clock.set(clock.now() - 365 * 86_400_000);
      assert.equal(await store.claim('alice', 2n), 'window');
      await clock.advance(WINDOW_MS);
      assert.equal(await store.claim('alice', 2n), 'claimed');
      await store.close();
    }));

  it('remembers across a rewriting until when it refused, for a clock that is set back later', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'replay');
      const clock = virtualClock();
      const first = await openStore(path, clock);
      await clock.advance(WINDOW_MS);
      const rising = Array.from({ length: 4000 }, (_, i) => BigInt(i));
      await Promise.all(rising.map((counter) => first.store.claim('alice', counter)));
      await first.store.close();
      clock.set(clock.now() - 5000);
      const { store } = await openStore(path, clock);
      assert.equal(await store.claim('alice', 5000n), 'window');
      await store.close();
    }));

  it('rewrites a full log and keeps every floor', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'replay');
      await createReplayFile(path);
      const { store } = await openStore(path);
      assert.equal(await store.claim('quiet', 77n), 'claimed');
      const rising = Array.from({ length: 5000 }, (_, i) => BigInt(i));
      for (let start = 0; start < rising.length; start += 100) {
        const results = await Promise.all(
          rising.slice(start, start + 100).map((i) => store.claim('busy', i)),
        );
        assert.ok(results.every((result) => result === 'claimed'));
      }
      await store.close();
      assert.equal((await stat(path)).size, 65_520);
      const again = await openStore(path);
      assert.deepEqual(again.warnings, []);
      assert.equal(await again.store.claim('quiet', 77n), 'replayed');
      assert.equal(await again.store.claim('busy', 4999n), 'replayed');
      assert.equal(await again.store.claim('busy', 5000n), 'claimed');
      await again.store.close();
    }));

  it('grows with the number of clients', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'replay');
      await createReplayFile(path);
      const { store } = await openStore(path);
      const names = Array.from({ length: 3000 }, (_, i) => `client-${String(i)}`);
      const results = await Promise.all(names.map((name) => store.claim(name, 1n)));
      assert.ok(results.every((result) => result === 'claimed'));
      await store.close();
      assert.equal((await stat(path)).size, log.offsetOf(12_000));
      const again = await openStore(path);
      for (const name of names) assert.equal(await again.store.claim(name, 1n), 'replayed');
      await again.store.close();
    }));
});

async function flip(path: string, at: number): Promise<void> {
  const bytes = await readFile(path);
  bytes.writeUInt8((bytes[at] ?? 0) ^ 0xff, at);
  await writeFile(path, bytes);
}
