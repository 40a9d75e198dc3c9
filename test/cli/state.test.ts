// The client's memory across runs, what is left of it where it cannot be kept, and several runs at once.

import assert from 'node:assert/strict';
import { existsSync, rmSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lockFile } from '../../cli/lock.ts';
import { fileState } from '../../cli/state.ts';
import type { OneTimeProfile, SpaProfile } from '../../lib/knocker.ts';
import { Place } from './support.ts';

const SECRET = Buffer.alloc(32, 7);
/** Of tests that make many wait for each other, on a disk that is slow. */
const PATIENT = { patienceMs: 600_000, staleMs: 600_000 };
const LINE = `ssh-ed25519 ${Buffer.concat([Buffer.from('0000000b7373682d6564323535313900000020', 'hex'), SECRET]).toString('base64')}`;

describe('the state file', () => {
  let folder: string;
  let before: string | undefined;
  let warnings: string[];
  const warn = (message: string): void => void warnings.push(message);

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'portknock-state-'));
    before = process.env.XDG_STATE_HOME;
    process.env.XDG_STATE_HOME = folder;
    warnings = [];
  });

  afterEach(async () => {
    if (before === undefined) delete process.env.XDG_STATE_HOME;
    else process.env.XDG_STATE_HOME = before;
    await rm(folder, { recursive: true });
  });

  it('tells the next run the last step, and nothing about the secret', async () => {
    assert.equal(await fileState(oneTime(SECRET), warn).load(), undefined);
    await fileState(oneTime(SECRET), warn).save(170_000_000n);
    assert.equal(await fileState(oneTime(SECRET), warn).load(), 170_000_000n);
    assert.equal(await fileState(oneTime(Buffer.alloc(32, 8)), warn).load(), undefined);
    const [name = '', ...more] = await filesIn(folder);
    assert.deepEqual(more, []);
    assert.match(name, /^[0-9a-f]{32}\.step$/u);
    assert.ok(!name.includes(SECRET.toString('hex').slice(0, 8)));
    assert.deepEqual(warnings, []);
  });

  it('makes its folders, whoever makes them at the same time', async () => {
    process.env.XDG_STATE_HOME = join(folder, 'a/b/c');
    const states = [1, 2, 3, 4].map((value) => fileState(oneTime(Buffer.alloc(32, value)), warn));
    await Promise.all(states.map((state) => state.save(5n)));
    assert.deepEqual(await Promise.all(states.map((state) => state.load())), [5n, 5n, 5n, 5n]);
    assert.deepEqual(warnings, []);
    assert.equal((await stat(join(folder, 'a/b'))).mode & 0o777, 0o700);
  });

  it('gives up below /proc, where no folder can be made', async () => {
    process.env.XDG_STATE_HOME = '/proc/nowhere';
    const state = fileState(oneTime(SECRET), warn);
    await state.save(5n);
    assert.equal(await state.load(), 5n);
    assert.match(warnings.join(), /last knock is not remembered: ENOENT/u);
  });

  it('of an earlier version still counts', async () => {
    // Its name is the start of SHA-256("portknock/1 client state\0" || secret).
    await mkdir(join(folder, 'portknock'));
    await writeFile(join(folder, 'portknock', '37bf1ad6222d29eb66de804077cd10da.step'), '170000001\n');
    assert.equal(await fileState(oneTime(SECRET), warn).load(), 170_000_001n);
  });

  it('keeps an SPA counter to the last bit, one for each key and gateway', async () => {
    const counter = (1_700_000_000_000n << 16n) + 65_535n;
    await fileState(shared(SECRET, 'gw'), warn).save(counter);
    assert.equal(await fileState(shared(SECRET, 'gw'), warn).load(), counter);
    assert.equal(await fileState(shared(SECRET, 'other'), warn).load(), undefined);
    assert.equal(await fileState(shared(Buffer.alloc(32, 8), 'gw'), warn).load(), undefined);
    await fileState(shared(`${LINE} alice@laptop`, 'gw'), warn).save(5n);
    // A comment is no part of a key.
    assert.equal(await fileState(shared(`${LINE} bob`, 'gw'), warn).load(), 5n);
    assert.equal((await filesIn(folder)).filter((name) => /^[0-9a-f]{32}\.counter$/u.test(name)).length, 2);
  });

  it('that cannot be kept is kept in memory, with one warning', async () => {
    await writeFile(join(folder, 'file'), '');
    process.env.XDG_STATE_HOME = join(folder, 'file');
    const state = fileState(oneTime(SECRET), warn);
    assert.equal(await state.load(), undefined);
    for (const step of [5n, 6n]) {
      await state.save(step);
      assert.equal(await state.load(), step);
    }
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? '', /^last knock is not remembered: ENOTDIR \(check /u);
  });

  for (const damage of ['17garbage', '', '-5\n', '99999999999999999999\n', '1\n2\n']) {
    it(`that is damaged gets a warning, and is whole after the next knock: ${JSON.stringify(damage)}`, async () => {
      await fileState(oneTime(SECRET), warn).save(7n);
      const { path } = fileState(oneTime(SECRET), warn);
      await writeFile(path, damage);
      const state = fileState(oneTime(SECRET), warn);
      assert.equal(await state.load(), undefined);
      assert.match(
        warnings.join('\n'),
        /^last knock is not remembered: the file is damaged \(check [^\n]+\)$/u,
      );
      await state.save(8n);
      assert.equal(await readFile(path, 'utf8'), '8\n');
    });
  }

  it('is one client’s at a time, from load to save', async () => {
    const state = (): ReturnType<typeof fileState> => fileState(oneTime(SECRET), warn, PATIENT);
    const [one, other] = [state(), state()];
    const take = async (from: typeof one): Promise<bigint> => {
      const value = ((await from.load()) ?? 0n) + 1n;
      await from.save(value);
      return value;
    };
    const taken = await Promise.all(Array.from({ length: 20 }, (_, i) => take(i % 2 === 0 ? one : state())));
    assert.deepEqual(new Set(taken).size, 20);
    assert.equal(await other.load(), 20n);
  });

  it('is given free by somebody who loads and does not save', async () => {
    const { path, load } = fileState(oneTime(SECRET), warn, PATIENT);
    await load();
    while (existsSync(`${path}.lock`)) await new Promise(setImmediate);
    // Nobody else would have come by it before the patience is over.
    await fileState(oneTime(SECRET), warn, PATIENT).load();
  });
});

describe('the lock', () => {
  let folder: string;
  let path: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'portknock-lock-'));
    path = join(folder, 'lock');
  });

  afterEach(async () => {
    await rm(folder, { recursive: true });
  });

  it('that a dead process left is taken over', async () => {
    await writeFile(path, 'dead');
    await utimes(path, new Date(), new Date(Date.now() - 10_000));
    // Whoever waits in vain leaves it as it is.
    const release = await lockFile(path);
    assert.notEqual(await readFile(path, 'utf8'), 'dead');
    await release();
    await assert.rejects(stat(path), { code: 'ENOENT' });
  });

  it('that somebody holds is waited for, a second at most, and left to them', async () => {
    await writeFile(path, 'theirs');
    const began = performance.now();
    const release = await lockFile(path, { staleMs: PATIENT.staleMs });
    const took = performance.now() - began;
    assert.ok(took >= 900 && took < 30_000, String(took));
    await release();
    assert.equal(await readFile(path, 'utf8'), 'theirs');
  });

  it('that becomes free while its waiter stands still is taken', async () => {
    await writeFile(path, 'theirs');
    const taking = lockFile(path);
    await new Promise(setImmediate);
    for (const began = performance.now(); performance.now() - began < 1500;);
    rmSync(path);
    const release = await taking;
    assert.match(await readFile(path, 'utf8'), /^[0-9a-f]{16}$/u);
    await release();
  });

  it('that cannot be made is done without, at once', async () => {
    // Whoever waits does so until mocha's patience is over.
    await (
      await lockFile(join(folder, 'none', 'lock'), PATIENT)
    )();
  });
});

describe('parallel portknock send', function () {
  this.timeout(60_000);

  it('use a step each', async () => {
    const place = await Place.make();
    // They wait for each other a second at most, which a disk may take for two of them.
    const memory = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'portknock-state-'));
    try {
      await place.run('portknock init --dir gw --gateway 127.0.0.1 --interface lo');
      await place.run('portknock add-client field --one-time --config gw/portknockd.yaml');
      const env = { XDG_STATE_HOME: memory };
      const sent = await Promise.all(
        Array.from({ length: 4 }, () => place.run('portknock send -p gw/field.knock --json', env)),
      );
      const steps = sent.map(({ out }) => (JSON.parse(out) as { step: number }).step);
      assert.equal(new Set(steps).size, 4, steps.join(' '));
    } finally {
      await place.remove();
      await rm(memory, { recursive: true });
    }
  });
});

function oneTime(secret: Uint8Array): OneTimeProfile {
  return {
    ...{ scheme: 'one-time', host: 'gw', client: 'field', services: { ssh: 22 }, secret, digest: 'sha256' },
    ...{ knocks: 5, ports: [20_000, 52_767], step: 10, carrier: 'udp' },
  };
}

function shared(key: SpaProfile['key'], gateway: string): SpaProfile {
  const accessKey = Buffer.alloc(32, 1);
  return {
    ...{ scheme: 'spa', host: 'gw', client: 'alice', services: { ssh: 22 }, gateway, port: 62_201 },
    ...{ accessKey, key, bind: 'observed' },
  };
}

async function filesIn(folder: string): Promise<readonly string[]> {
  // A lock goes a moment after the value was read.
  return (await readdir(join(folder, 'portknock'))).filter((name) => !name.endsWith('.lock')).sort();
}
