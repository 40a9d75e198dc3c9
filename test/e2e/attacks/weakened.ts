// Takes out of a copy of this tree what weakenings.ts says, and sees whether the attack's tests go red: in the slow run, or
// `node --import tsx test/e2e/attacks/weakened.ts [NUMBER...]`.

import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Edit, type Weakening, WEAKENINGS } from './weakenings.ts';

/** The root of this tree. */
export const ROOT = resolve(fileURLToPath(import.meta.url), '../../../..');

/** How often the text stands in the file. */
export function occurrences({ file, find }: Edit): number {
  return readFileSync(join(ROOT, file), 'utf8').split(find).length - 1;
}

/** Weakens a copy of this tree, and gives the titles of its tests that fail in it. */
export function redTests({ edits, tests, red }: Weakening): readonly string[] {
  const folder = mkdtempSync(join(tmpdir(), 'portknock-weakened-'));
  try {
    for (const name of ['lib', 'cli', 'test', 'package.json', 'tsconfig.json', '.mocharc.cjs'])
      cpSync(join(ROOT, name), join(folder, name), { recursive: true });
    symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    for (const { file, find, put } of edits) {
      const path = join(folder, file);
      // A function, or `$` in it would mean something.
      writeFileSync(
        path,
        readFileSync(path, 'utf8').replace(find, () => put),
      );
    }
    const args = ['node_modules/mocha/bin/mocha.js', '--exit', '--fgrep', red, '--reporter', 'json'];
    const report = join(folder, 'report.json');
    spawnSync(
      process.execPath,
      [...args, '--reporter-option', `output=${report}`, `test/e2e/attacks/${tests}`],
      {
        ...{ cwd: folder, stdio: 'ignore', timeout: 600_000 },
        env: { ...process.env, CI: 'true', PORTKNOCK_SLOW: '0' },
      },
    );
    const { failures } = JSON.parse(readFileSync(report, 'utf8')) as { failures: { fullTitle: string }[] };
    return failures.map(({ fullTitle }) => fullTitle);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const wanted = process.argv.slice(2).map(Number);
  for (const weakening of WEAKENINGS) {
    const { number, lacks } = weakening;
    if (wanted.length > 0 && !wanted.includes(number)) continue;
    const titles = redTests(weakening);
    if (titles.length === 0) process.exitCode = 1;
    console.log(`${number}. without ${lacks}: ${titles.length === 0 ? 'NOT RED' : 'red'}`);
    for (const title of titles) console.log(`    ${title}`);
  }
}
