// Files as they are on a real disk: read whole or known not to be, and never waited for.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readHostFile } from '../../lib/config/files.ts';

describe('a file that a configuration names', () => {
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'portknock-files-'));
  });
  after(() => rm(folder, { recursive: true }));

  it('comes with its mode and owner', async () => {
    const path = join(folder, 'a');
    await writeFile(path, 'schlüssel\n');
    await chmod(path, 0o640);
    const uid = process.getuid?.() ?? 0;
    assert.deepEqual(await readHostFile(path, 100), {
      text: 'schlüssel\n',
      mode: 0o640,
      uid,
      regular: true,
      whole: true,
    });
  });

  const sizes: readonly [bytes: number, whole: boolean][] = [
    [0, true],
    [4096, true],
    [4097, false],
    [1_000_000, false],
  ];
  for (const [bytes, whole] of sizes) {
    it(`of ${bytes} bytes is ${whole ? '' : 'not '}whole when 4096 are read`, async () => {
      const path = join(folder, 'b');
      await writeFile(path, 'x'.repeat(bytes));
      const file = await readHostFile(path, 4096);
      assert.equal(file.whole, whole);
      if (whole) assert.equal(file.text.length, bytes);
    });
  }

  it('does not hold us up when it is a pipe without a writer', async () => {
    const path = join(folder, 'pipe');
    execFileSync('mkfifo', [path]);
    const { regular, text } = await readHostFile(path, 100);
    assert.deepEqual([regular, text], [false, '']);
  });

  it('is no file when it is a directory', async () => {
    assert.equal((await readHostFile(folder, 100)).regular, false);
  });

  it('is a system error when it is not there', async () => {
    await assert.rejects(readHostFile(join(folder, 'gone'), 100), { code: 'ENOENT' });
  });
});
