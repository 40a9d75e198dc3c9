// The state directory changes hands once: which files go with it, and what is refused. As root, on folders of the test's own.

import assert from 'node:assert/strict';
import { chmod, link, lstat, mkdir, mkdtemp, rm, stat, symlink, writeFile, lchown } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prepareFor } from '../../lib/privilege/separation.ts';
import { prepareStateDir } from '../../lib/privilege/state-dir.ts';

const ACCOUNT = { name: 'knocker', uid: 4242, gid: 4243 };
const NONE = { configs: {}, files: {} };
const isRoot = process.getuid?.() === 0;

describe('the state directory', () => {
  let folder: string;
  let state: string;

  beforeEach(async function () {
    if (!isRoot) return this.skip();
    folder = await mkdtemp(join(tmpdir(), 'portknock-state-'));
    await chmod(folder, 0o711);
    state = join(folder, 'state');
  });

  afterEach(async () => {
    if (isRoot) await rm(folder, { recursive: true, force: true });
  });

  const uidOf = async (name: string): Promise<number> => (await lstat(join(state, name))).uid;

  it('is made for the account alone when it is missing, its parents for all', async () => {
    state = join(folder, 'a', 'state');
    await prepareStateDir(state, ACCOUNT);
    const { uid, gid, mode } = await stat(state);
    assert.deepEqual([uid, gid, mode & 0o777], [4242, 4243, 0o700]);
    assert.equal((await stat(join(folder, 'a'))).mode & 0o777, 0o755);
  });

  it('is handed over with what we keep in it', async () => {
    await mkdir(state, { mode: 0o700 });
    const ours = ['replay', 'grants', 'replay.new', 'grants.new', 'replay.lock.12.34.ab'];
    for (const name of ours) await writeFile(join(state, name), '');
    await writeFile(join(folder, 'elsewhere'), '');
    await symlink('/etc/shadow', join(state, 'replay.lock.1.1.aa'));
    await link(join(folder, 'elsewhere'), join(state, 'replay.lock.2.2.bb'));
    await prepareStateDir(state, ACCOUNT);
    for (const name of ['.', ...ours]) assert.equal(await uidOf(name), 4242, name);
    for (const name of ['replay.lock.1.1.aa', 'replay.lock.2.2.bb']) assert.equal(await uidOf(name), 0, name);
    assert.equal((await stat('/etc/shadow')).uid, 0);
    assert.equal((await stat(join(folder, 'elsewhere'))).uid, 0);
  });

  it('is not handed over with anything else in it: a configuration would be for its owner to replace', async () => {
    for (const name of ['portknockd.yaml', 'replay.bak']) {
      await mkdir(state, { mode: 0o700 });
      await writeFile(join(state, name), '');
      await writeFile(join(state, 'replay'), '');
      await assert.rejects(prepareStateDir(state, ACCOUNT), {
        code: 'ERR_WRITE',
        message: new RegExp(
          `^state_dir cannot be used: ${state}: it holds other files as well: ${name} `,
          'u',
        ),
      });
      for (const each of ['.', 'replay']) assert.equal(await uidOf(each), 0, each);
      await rm(state, { recursive: true });
    }
  });

  it("is not touched once it is the account's", async () => {
    await mkdir(state, { mode: 0o700 });
    await writeFile(join(state, 'replay'), '');
    await lchown(state, 4242, 4243);
    await prepareStateDir(state, ACCOUNT);
    assert.equal(await uidOf('replay'), 0);
  });

  it('is refused when it is somebody else’s, when others may write to it, and when it is none', async () => {
    await mkdir(state, { mode: 0o700 });
    await lchown(state, 77, 77);
    await assert.rejects(prepareStateDir(state, ACCOUNT), {
      code: 'ERR_WRITE',
      message: /belongs to uid 77/u,
    });
    await lchown(state, 0, 0);
    await chmod(state, 0o777);
    await assert.rejects(prepareStateDir(state, ACCOUNT), { message: /others may write to it/u });
    await rm(state, { recursive: true });
    await writeFile(state, '');
    await assert.rejects(prepareStateDir(state, ACCOUNT), { message: /no directory/u });
  });

  it('is refused, with the directory to open, where the account cannot get to it', async () => {
    await chmod(folder, 0o700);
    await assert.rejects(prepareStateDir(state, ACCOUNT), {
      code: 'ERR_WRITE',
      message: new RegExp(
        `^state_dir is out of reach for user knocker: ${folder} is closed to it \\(chmod o\\+x`,
        'u',
      ),
    });
    const needed = { stateDir: state, program: join(folder, 'portknockd.js'), files: NONE };
    await assert.rejects(prepareFor(ACCOUNT, needed), {
      message: /^portknockd is out of reach for user knocker/u,
    });
    await lchown(folder, 4242, 0);
    await prepareStateDir(state, ACCOUNT);
  });
});
