// What fileReplay does not open, with the reason and the remedy: files that are not its own, and files in use.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, readFile, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isKnockError } from '../../lib/errors.ts';
import { createReplayFile } from '../../lib/replay/file.ts';
import { inDirectory, openStore } from './bench.ts';

async function assertUnreadable(path: string, expected: RegExp): Promise<void> {
  await assert.rejects(openStore(path), (error) => {
    assert.ok(isKnockError(error), String(error));
    assert.equal(error.code, 'ERR_REPLAY_UNREADABLE');
    assert.ok(error.message.includes(path), error.message);
    assert.match(error.message, expected);
    return true;
  });
}

describe('fileReplay, on what it cannot use', () => {
  it('refuses what is not a replay file, and leaves it alone', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'passwd');
      await writeFile(path, 'root:x:0:0:root:/root:/bin/bash\n', { mode: 0o600 });
      await assertUnreadable(path, /it is not a replay file \(move it away/u);
      assert.equal(await readFile(path, 'utf8'), 'root:x:0:0:root:/root:/bin/bash\n');
      assert.deepEqual(await readdir(directory), ['passwd']);
    }));

  it('refuses a directory, a symbolic link, a pipe and a file that others may write', () =>
    inDirectory(async (directory) => {
      const at = (name: string): string => join(directory, name);
      await mkdir(at('directory'));
      await assertUnreadable(at('directory'), /it is a directory \(name a file\)/u);
      await createReplayFile(at('real'));
      await symlink(at('real'), at('link'));
      await assertUnreadable(at('link'), /it is a symbolic link \(name the file itself\)/u);
      execFileSync('mkfifo', [at('pipe')]);
      await assertUnreadable(at('pipe'), /it is not a regular file/u);
      await chmod(at('real'), 0o620);
      await assertUnreadable(at('real'), /others may write to it \(run chmod 600 on it\)/u);
      await assertUnreadable(join(at('real'), 'replay'), /its directory is not a directory/u);
    }));

  it('refuses a file that it may not read', function () {
    if (process.geteuid?.() !== 0) {
      assert.notEqual(process.env['CI'], 'true', 'root is needed in CI');
      this.skip();
    }
    return inDirectory(async (directory) => {
      const path = join(directory, 'replay');
      await createReplayFile(path);
      await chmod(directory, 0o777);
      process.seteuid?.(65_534);
      try {
        await assertUnreadable(path, /EACCES, no permission \(let this user read and write it\)/u);
      } finally {
        process.seteuid?.(0);
      }
    });
  });

  it('escapes a path with control characters in what it says', () =>
    inDirectory(async (directory) => {
      const { store, warnings } = await openStore(join(directory, 'a\nb'));
      await store.close();
      assert.match(warnings.join(''), /a\\u\{a\}b/u);
    }));

  it('refuses a file that another store has open, and names its process', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'replay');
      const { store } = await openStore(path);
      await assertUnreadable(
        path,
        new RegExp(`is in use by process ${String(process.pid)} \\(stop it first`, 'u'),
      );
      await store.close();
      await (await openStore(path)).store.close();
    }));

  it('takes over the lock of a process that is gone, and not that of one that lives', () =>
    inDirectory(async (directory) => {
      const path = join(directory, 'replay');
      const boot = (await readFile('/proc/sys/kernel/random/boot_id', 'latin1')).slice(0, 8);
      const parent = String(process.ppid);
      const start = (await readFile(`/proc/${parent}/stat`, 'latin1')).split(') ')[1]?.split(' ')[19] ?? '';
      await writeFile(`${path}.lock.${parent}.${start}.${boot}`, '');
      await assertUnreadable(path, new RegExp(`in use by process ${parent} `, 'u'));
      assert.deepEqual(await readdir(directory), [`replay.lock.${parent}.${start}.${boot}`]);
      await writeFile(join(directory, 'replay.lock.notes'), '');
      await mkdir(join(directory, 'other'));
      const stale = join(directory, 'other', 'replay');
      await writeFile(`${stale}.lock.${parent}.${start}1.${boot}`, '');
      await writeFile(`${stale}.lock.${parent}.${start}.00000000`, '');
      await (await openStore(stale)).store.close();
      assert.deepEqual(await readdir(join(directory, 'other')), ['replay']);
    }));
});
