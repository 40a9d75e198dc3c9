// The client's memory across runs, and what is left of it where it cannot be kept.

import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileState } from '../../cli/state.ts';

const SECRET = Buffer.alloc(32, 7);

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
    assert.equal(await fileState(SECRET, warn).load(), undefined);
    await fileState(SECRET, warn).save(170_000_000);
    assert.equal(await fileState(SECRET, warn).load(), 170_000_000);
    assert.equal(await fileState(Buffer.alloc(32, 8), warn).load(), undefined);
    const names = await readdir(join(folder, 'portknock'));
    assert.equal(names.length, 1);
    assert.match(names[0] ?? '', /^[0-9a-f]{32}\.step$/u);
    assert.ok(!names[0]?.includes(SECRET.toString('hex').slice(0, 8)));
    assert.deepEqual(warnings, []);
  });

  it('that cannot be kept is kept in memory, with one warning', async () => {
    await writeFile(join(folder, 'file'), '');
    process.env.XDG_STATE_HOME = join(folder, 'file');
    const state = fileState(SECRET, warn);
    assert.equal(await state.load(), undefined);
    for (const step of [5, 6]) {
      await state.save(step);
      assert.equal(await state.load(), step);
    }
    assert.equal(warnings.length, 1);
    assert.match(warnings[0] ?? '', /^last knock is not remembered: ENOTDIR \(check /u);
  });

  it('that is damaged gets a warning, and is whole after the next knock', async () => {
    await fileState(SECRET, warn).save(7);
    const [name = ''] = await readdir(join(folder, 'portknock'));
    const path = join(folder, 'portknock', name);
    await writeFile(path, '17garbage');
    const state = fileState(SECRET, warn);
    assert.equal(await state.load(), undefined);
    assert.match(
      warnings.join('\n'),
      /^last knock is not remembered: the file is damaged \(check [^\n]+\)$/u,
    );
    await state.save(8);
    assert.equal(await readFile(path, 'utf8'), '8\n');
  });
});
