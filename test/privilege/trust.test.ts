// What root goes by is not for the verifying half to change. As root, on folders of the test's own.

import assert from 'node:assert/strict';
import { chmod, chown, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requireTrusted } from '../../lib/privilege/trust.ts';

const ACCOUNT = { name: 'knocker', uid: 4242, gid: 4243 };

describe('what root goes by', () => {
  let folder: string;
  let file: string;

  beforeEach(async function () {
    if (process.getuid?.() !== 0) return this.skip();
    folder = await mkdtemp(join(tmpdir(), 'portknock-trust-'));
    await mkdir(join(folder, 'in'));
    file = join(folder, 'in', 'portknockd.yaml');
    await writeFile(file, '', { mode: 0o600 });
  });

  afterEach(() => rm(folder, { recursive: true, force: true }));

  const check = (path = file): Promise<void> =>
    requireTrusted({ configs: { [path]: { text: '', mode: 0o600 } }, files: {} }, ACCOUNT);

  const changes: readonly [title: string, place: () => Promise<string>][] = [
    ['the file is its own', () => chown(file, 4242, 0).then(() => file)],
    ['a directory above is its own', () => chown(folder, 4242, 0).then(() => folder)],
    [
      'its group may write there',
      async () => {
        await chown(join(folder, 'in'), 0, 4243);
        await chmod(join(folder, 'in'), 0o770);
        return join(folder, 'in');
      },
    ],
    ['all may write there', () => chmod(folder, 0o777).then(() => folder)],
  ];
  for (const [title, change] of changes) {
    it(`is refused with the place where ${title}`, async () => {
      await check();
      const place = await change();
      await assert.rejects(check(), {
        code: 'ERR_CONFIG',
        message: new RegExp(`^${file} is not root's alone: user knocker may change ${place} \\(chown`, 'u'),
      });
    });
  }

  it('is looked at where a link leads, and where the link is', async () => {
    const link = join(folder, 'link.yaml');
    await symlink(file, link);
    await check(link);
    await chown(join(folder, 'in'), 4242, 0);
    await assert.rejects(check(link), { code: 'ERR_CONFIG' });
    await chown(join(folder, 'in'), 0, 0);
    await mkdir(join(folder, 'theirs'));
    await symlink(file, join(folder, 'theirs', 'link.yaml'));
    await chown(join(folder, 'theirs'), 4242, 0);
    await assert.rejects(check(join(folder, 'theirs', 'link.yaml')), { code: 'ERR_CONFIG' });
  });
});
