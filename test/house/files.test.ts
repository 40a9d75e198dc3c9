// Files keep to the house's form, and the check of it can fail.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import * as index from '../../lib/index.ts';
import * as knocker from '../../lib/knocker.ts';
import { fileFaults, foreignHosts } from './file-rules.ts';
import { filesBelow, typescriptFiles } from './tree.ts';

const RUN_TIME_NAMES = 45;

describe('the files of the repository', () => {
  it('keep to the house rules', () => {
    const files = ['lib', 'cli', 'test', 'benchmarks', 'examples'].flatMap(typescriptFiles);
    assert.ok(files.length > 50);
    assert.deepEqual(
      files.flatMap((file) => fileFaults(file, readFileSync(file, 'utf8'))),
      [],
    );
  });

  it('have a folder of tests for every folder of lib', () => {
    const folders = [
      ...new Set(typescriptFiles('lib').map((file) => file.split('/').slice(1, -1).join('/'))),
    ];
    const untested = folders.filter((folder) => folder !== '' && !hasTests(`test/${folder}`));
    assert.deepEqual(untested, []);
  });

  it('name no package registry but the public one', () => {
    for (const file of ['package-lock.json', 'package.json']) {
      assert.deepEqual(foreignHosts(readFileSync(file, 'utf8')), [], file);
    }
    assert.equal(existsSync('.npmrc'), false);
  });

  it('pin every dependency to one version', () => {
    const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as Record<
      string,
      Record<string, string>
    >;
    const loose = Object.entries({ ...manifest.dependencies, ...manifest.devDependencies });
    assert.deepEqual(
      loose.filter(([, version]) => !/^\d+\.\d+\.\d+$/u.test(version)),
      [],
    );
  });
});

describe('the public surface', () => {
  it(`has at most ${RUN_TIME_NAMES} run-time names, and no default`, () => {
    const names = Object.keys(index);
    assert.ok(names.length > 10 && names.length <= RUN_TIME_NAMES, `${names.length}: ${names.join(' ')}`);
    assert.ok(!names.includes('default'));
  });

  it('offers the knocker under both entries', () => {
    assert.equal(index.Knocker, knocker.Knocker);
    assert.equal(index.KnockError, knocker.KnockError);
  });
});

describe('the check of files', () => {
  const comment = '// Decides nothing.\n';
  const table: readonly [what: string, path: string, text: string, fault: RegExp][] = [
    ['a long file', 'lib/a.ts', comment + '\n'.repeat(250), /has 251 lines, more than 250/u],
    ['a long command', 'cli/commands/a.ts', comment + '\n'.repeat(80), /has 81 lines, more than 80/u],
    ['a file without an opening comment', 'lib/a.ts', 'export {};\n', /does not open with a comment/u],
    ['unfinished work', 'test/a.test.ts', '// TODO assert', /says "TODO" in line 1/u],
    ['an escape from the types', 'cli/a.ts', `${comment}f(x as any);`, /says "as any" in line 2/u],
    ['a rule switched off', 'lib/a.ts', `${comment}// eslint-disable-next-line`, /says "eslint-disable"/u],
    ['a default export', 'lib/a.ts', `${comment}export default 1;`, /says "export default"/u],
    ['an enum', 'lib/a.ts', `${comment}export enum A {}`, /says "export enum "/u],
    ['a library that prints', 'lib/a.ts', `${comment}console.log(1);`, /says "console\."/u],
    ['a shell', 'lib/a.ts', `${comment}spawn(x, { shell: true });`, /says "shell: true"/u],
    ['a secret', 'lib/a.ts', `${comment}const k = '${'aB3/'.repeat(11)}=';`, /says "'aB3/u],
    ['a private key', 'cli/a.ts', `${comment}const k = \`-----BEGIN`, /says "-----BEGIN"/u],
    ['a test left alone', 'test/a.test.ts', "assert; it.only('x')", /says "it\.only\("/u],
    ['a test that sleeps', 'test/a.test.ts', 'assert; await sleep(5)', /says "sleep\("/u],
    ['a test that asserts nothing', 'test/a.test.ts', "it('x', () => {})", /asserts nothing/u],
  ];
  for (const [what, path, text, fault] of table) {
    it(`finds ${what}`, () => {
      assert.match(fileFaults(path, text).join('\n'), fault);
    });
  }

  it('passes a file as it should be', () => {
    assert.deepEqual(fileFaults('lib/a.ts', `${comment}export const many = 1; // any number\n`), []);
    assert.deepEqual(fileFaults('cli/portknock.ts', `#!/usr/bin/env node\n${comment}`), []);
    assert.deepEqual(fileFaults('test/e2e/a.test.ts', 'assert.ok(await sleep(5))'), []);
  });

  it('finds a lock file that names another registry', () => {
    assert.deepEqual(foreignHosts('{"resolved": "https://registry.npmjs.org/a.tgz"}'), []);
    assert.deepEqual(foreignHosts('{"resolved": "http://10.1.2.3:4873/a.tgz"}'), ['10.1.2.3:4873']);
  });
});

function hasTests(folder: string): boolean {
  return filesBelow(folder).some((file) => file.endsWith('.test.ts'));
}
