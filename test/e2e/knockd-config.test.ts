// The table of what knockd makes of a knockd.conf, held to real knockd: with -D it prints what it reads, and then fails for
// want of an interface.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KNOCKD_ROWS } from '../support/knockd-rows.ts';
import { describeInNamespaces } from './support.ts';

describeInNamespaces('the table of knockd.conf', () => {
  const folder = mkdtempSync(join(tmpdir(), 'portknock-knockd-'));
  const path = join(folder, 'knockd.conf');

  after(() => {
    rmSync(folder, { recursive: true });
  });

  for (const { what, text, knockd } of KNOCKD_ROWS) {
    it(`is what real knockd does: ${what}`, () => {
      writeFileSync(path, text);
      const { stdout, stderr } = spawnSync('knockd', ['-D', '-i', 'absent0', '-c', path], {
        encoding: 'utf8',
      });
      const printed = stdout + stderr;
      const isTaken = /^could not open absent0/mu.test(printed);
      assert.equal(isTaken, !('because' in knockd), printed.slice(0, 1000));
      if ('because' in knockd) return;
      assert.deepEqual(lastSequences(printed), knockd);
    });
  }
});

/** Of each section the sequence that was said last. */
function lastSequences(printed: string): string[] {
  const sections = printed.split(/^config: new section: .*$/mu).slice(1);
  return sections.flatMap((section) => {
    const said = [...section.matchAll(/: sequence: (.*)$/gmu)].map(([, sequence = '']) => sequence);
    return said.slice(-1);
  });
}
