// The replay file and the grant journal, cut at every byte and with every byte changed that holds something: a start either
// goes on without accepting again what was accepted, and says what is wrong, or it ends with what is wrong and what to do.
// In this process, on files and on a disk of the mind. (One after another at the level of bytes: test/replay/log.test.ts,
// test/grant/journal.test.ts. Weakened: `damaged` judged as `torn` in lib/replay/recover.ts, the check of a line not looked
// at in lib/grant/journal.ts: went red.)

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { isKnockError } from '../../../lib/errors.ts';
import type { Grant } from '../../../lib/firewall/driver.ts';
import { FileJournal } from '../../../lib/grant/journal.ts';
import { fileReplayOn } from '../../../lib/replay/file.ts';
import { encodeLog, offsetOf, SLOT_BYTES } from '../../../lib/replay/log.ts';
import type { ReplayStore } from '../../../lib/replay/store.ts';
import { virtualClock } from '../../../lib/testing/clock.ts';
import { inDirectory } from '../../replay/bench.ts';
import { FakeDisk } from '../../replay/fake-disk.ts';

const WINDOW_MS = 60_000;
const HEAD = 'portknock grants 1\n';
const ACCEPTED: readonly (readonly [string, bigint])[] = [
  ['spa alice', 7n],
  ['spa bob', 2n ** 63n],
  ['spa alice', 9n],
  ['one-time field', 1n],
];
const USED = offsetOf(ACCEPTED.length);
/** Beyond the records there are only zeros: some of them will do. */
const STRIDE = 13 * SLOT_BYTES + 1;

const unexpected = (message: string): never => {
  throw new Error(message);
};

interface Start {
  readonly store: ReplayStore | null;
  readonly said: string;
}

async function start(directory: string, bytes: Buffer): Promise<Start> {
  const disk = new FakeDisk();
  const path = join(directory, 'replay');
  disk.write(path, bytes);
  const store = fileReplayOn(disk.files, path);
  const said: string[] = [];
  try {
    const clock = virtualClock(1_700_000_000_000);
    await store.open({ clock, windowMs: WINDOW_MS, warning: (message) => said.push(message) });
    return { store, said: said.join('\n') };
  } catch (error) {
    assert.ok(isKnockError(error), String(error));
    return { store: null, said: error.message };
  }
}

/** A file in which every claim of ACCEPTED was granted. */
async function recorded(directory: string): Promise<Buffer> {
  const disk = new FakeDisk();
  const path = join(directory, 'replay');
  disk.write(path, encodeLog(new Map(), { origin: 'deliberate', refuseUntil: 0 }));
  const store = fileReplayOn(disk.files, path);
  await store.open({ clock: virtualClock(), windowMs: WINDOW_MS, warning: unexpected });
  for (const [client, counter] of ACCEPTED) assert.equal(await store.claim(client, counter), 'claimed');
  await store.close();
  return disk.read(path);
}

/** Nothing that was accepted is accepted again, and whoever reads the log knows what is wrong. */
async function check(directory: string, bytes: Buffer, what: string): Promise<void> {
  const { store, said } = await start(directory, bytes);
  assert.match(said, /^replay file .* \(.+\)$/u, what);
  for (const [client, counter] of store === null ? [] : ACCEPTED) {
    assert.notEqual(await store?.claim(client, counter), 'claimed', `${what}: ${client} ${counter}`);
  }
  await store?.close();
}

describe('the replay file of a start', function () {
  this.timeout(60_000);

  it('cut at any byte lets no knock in again, and says what is wrong', () =>
    inDirectory(async (directory) => {
      const bytes = await recorded(directory);
      for (let size = 0; size < bytes.length; size += size < USED ? 1 : STRIDE)
        await check(directory, bytes.subarray(0, size), `${size} bytes`);
      await check(directory, bytes.subarray(0, -1), 'all but the last byte');
    }));

  it('with any byte changed lets no knock in again, and says what is wrong', () =>
    inDirectory(async (directory) => {
      const bytes = await recorded(directory);
      for (let at = 0; at < bytes.length; at += at < USED ? 1 : STRIDE) {
        for (const mask of [1, 64, 255]) {
          const damaged = Buffer.from(bytes);
          damaged[at] = (damaged[at] ?? 0) ^ mask;
          await check(directory, damaged, `byte ${at}, bits ${mask}`);
        }
      }
    }));

  it('with records taken out, put in twice or in another order lets no knock in again', () =>
    inDirectory(async (directory) => {
      const bytes = await recorded(directory);
      const slot = (i: number): Buffer => bytes.subarray(offsetOf(i), offsetOf(i + 1));
      for (const order of [
        [1, 2, 3],
        [0, 1, 3],
        [3, 2, 1, 0],
        [0, 0, 1, 2, 3],
        [0, 1, 4, 2, 3],
      ]) {
        const body = Buffer.concat(order.map(slot));
        const rest = Buffer.alloc(bytes.length - SLOT_BYTES - body.length);
        await check(directory, Buffer.concat([bytes.subarray(0, SLOT_BYTES), body, rest]), order.join());
      }
    }));
});

describe('the grant journal of a start', function () {
  this.timeout(60_000);
  const grant = (id: string, more: Partial<Grant> = {}): Grant => ({
    ...{ id, client: 'alice', source: '192.0.2.7', service: 'ssh', protocol: 'tcp', port: 22 },
    ...{ openUntil: 1_700_000_030_000, connections: 1, ...more },
  });
  const all = [grant('a1'), grant('b2', { source: '2001:db8::/56', connections: 'unlimited' }), grant('c3')];

  async function opened(bytes: Buffer): Promise<{ found: readonly Grant[] | null; said: string }> {
    const disk = new FakeDisk();
    disk.write('/state/grants', bytes);
    const said: string[] = [];
    try {
      const journal = new FileJournal('/state/grants', { outlivesHost: true, files: disk.files });
      const found = await journal.open({ warning: (message) => said.push(message) });
      // What it goes on with is whole again.
      await journal.add([grant('d4')]);
      await journal.close();
      assert.equal(disk.read('/state/grants').toString().split('\n').length, found.length + 3);
      return { found, said: said.join('\n') };
    } catch (error) {
      assert.ok(isKnockError(error), String(error));
      return { found: null, said: error.message };
    }
  }

  async function journalOf(): Promise<Buffer> {
    const disk = new FakeDisk();
    const journal = new FileJournal('/state/grants', { outlivesHost: true, files: disk.files });
    await journal.open({ warning: unexpected });
    await journal.add(all);
    await journal.remove([grant('a1')]);
    await journal.close();
    return disk.read('/state/grants');
  }

  const isOfAll = (found: readonly Grant[]): boolean => {
    const known = all.map((one) => JSON.stringify(one));
    return found.every((one) => known.includes(JSON.stringify(one)));
  };

  it('cut at any byte names only what was recorded, and goes on', async () => {
    const bytes = await journalOf();
    for (let size = 0; size <= bytes.length; size += 1) {
      const { found } = await opened(bytes.subarray(0, size));
      assert.ok(found !== null && isOfAll(found), `${size} bytes`);
    }
  });

  it('with any bit turned names only what was recorded and says so, or says what to do', async () => {
    const bytes = await journalOf();
    for (let at = 0; at < bytes.length; at += 1) {
      for (const mask of [1, 2, 4, 8, 16, 32, 64, 128, 255]) {
        const damaged = Buffer.from(bytes);
        damaged[at] = (damaged[at] ?? 0) ^ mask;
        const { found, said } = await opened(damaged);
        const what = `byte ${at}, bits ${mask}: ${said}`;
        if (found === null) {
          assert.ok(at < HEAD.length, what);
          assert.match(said, /^grant journal .* no journal of this version \(move it away: /u, what);
        } else {
          assert.ok(isOfAll(found), what);
          // A last line without its end was not finished, and nothing came of it.
          assert.match(
            said,
            at === bytes.length - 1 ? /^/u : /^grant journal .* was damaged, \d+ lines? .*\)$/u,
            what,
          );
        }
      }
    }
  });
});
