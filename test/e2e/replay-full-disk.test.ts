// A disk that is really full: a small tmpfs in a mount namespace of its own.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const CHILD = fileURLToPath(new URL('replay-full-disk-child.ts', import.meta.url));

interface Outcome {
  readonly failedAt: number;
  readonly result: string;
  readonly again: string;
  readonly whileFull: string;
  readonly afterwards: string;
  readonly restarted: string;
  readonly warnings: readonly string[];
}

describe('fileReplay on a full disk', () => {
  it('goes on while the file has room, then answers failed, and recovers when there is space again', function () {
    this.timeout(120_000);
    const flags = process.geteuid?.() === 0 ? ['-m'] : ['-rm'];
    const probe = spawnSync('unshare', [...flags, 'true'], { encoding: 'utf8' });
    if (probe.status !== 0) {
      assert.notEqual(process.env['CI'], 'true', 'mount namespaces are needed in CI');
      console.log(`skipped: no mount namespace: ${probe.stderr}`);
      this.skip();
    }
    const directory = mkdtempSync(join(tmpdir(), 'portknock-full-'));
    const script = 'mount -t tmpfs -o size=256k,mode=700 none "$1" && exec "$2" --import tsx "$3" "$1"';
    const args = [...flags, 'sh', '-c', script, 'sh', directory, process.execPath, CHILD];
    const { stdout, stderr } = spawnSync('unshare', args, { encoding: 'utf8' });
    rmdirSync(directory);
    assert.notEqual(stdout, '', stderr);
    const { failedAt, warnings, ...answers } = JSON.parse(stdout) as Outcome;
    assert.equal(failedAt, 1638, 'the file has 1637 slots, and they are there from the start');
    const expected = {
      result: 'failed',
      again: 'replayed',
      whileFull: 'failed',
      afterwards: 'claimed',
      restarted: 'replayed',
    };
    assert.deepEqual(answers, expected);
    assert.equal(warnings.length, 2);
    assert.match(
      warnings[0] ?? '',
      /cannot be written: ENOSPC.* \(make room, .*knocks are refused until it can be written$/u,
    );
    assert.match(warnings[1] ?? '', /can be written again$/u);
  });
});
