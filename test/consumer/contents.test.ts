// What is in the tarball: each file has a reason to be there. And what it weighs once installed, which README.md says.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, posix } from 'node:path';
import { installed } from './installed.ts';

interface Manifest {
  readonly bin: Readonly<Record<string, string>>;
  readonly man?: string | readonly string[];
  readonly exports: Readonly<Record<string, unknown>>;
  readonly main: string;
  readonly types: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly scripts: Readonly<Record<string, string>>;
}

// The files that nothing in package.json leads to, one row for each kind.
const BESIDE: readonly (readonly [kind: string, files: RegExp])[] = [
  ['what npm and people read', /^(package\.json|README\.md|CHANGELOG\.md|SECURITY\.md|LICENSE)$/u],
  ['what the build is made of', /^dist\/(sbom\.cdx\.json|third-party\.txt)$/u],
];
// Together about two builds of the library, its types twice, and a program. A leap means that something slipped in.
const MOST_UNPACKED = 2_000_000;
const MOST_PACKED = 550_000;

describe('the tarball', function () {
  this.timeout(300_000);

  it('holds what package.json leads to, the papers, and nothing else', async () => {
    const { files, folder } = await installed();
    const own = join(folder, 'node_modules/portknock');
    const reached = reachedFiles(own);
    const unexplained = files.filter(
      (file) => !reached.has(file) && !BESIDE.some(([, pattern]) => pattern.test(file)),
    );
    assert.deepEqual(unexplained, []);
    assert.deepEqual(
      [...reached].filter((file) => !files.includes(file)),
      [],
      'named, but not packed',
    );
    for (const [kind, pattern] of BESIDE)
      assert.ok(
        files.some((file) => pattern.test(file)),
        kind,
      );
  });

  it('holds no source, no map, no test and no path of the machine that built it', async () => {
    const { files, folder, source } = await installed();
    assert.deepEqual(
      files.filter((file) =>
        /\.map$|(?<!\.d)\.[cm]?ts$|(^|\/)(test|lib|cli|examples|benchmarks)\/|metafile/u.test(file),
      ),
      [],
    );
    const own = join(folder, 'node_modules/portknock');
    const telling = files.filter((file) => readFileSync(join(own, file), 'utf8').includes(dirname(source)));
    assert.deepEqual(telling, []);
  });

  it('imports its dependencies, its optional peer and nothing else, and each of them', async () => {
    const { files, folder } = await installed();
    const own = join(folder, 'node_modules/portknock');
    const { dependencies, peerDependencies } = manifestOf(own);
    const imported = files
      .filter((file) => /^dist\/.*\.(js|cjs|d\.ts|d\.cts)$/u.test(file))
      .flatMap((file) => importsOf(readFileSync(join(own, file), 'utf8')))
      .filter((name) => !/^(\.|node:)/u.test(name) && !isBuiltin(name));
    assert.deepEqual(
      [...new Set(imported)].sort(),
      [...Object.keys(dependencies), ...Object.keys(peerDependencies)].sort(),
    );
  });

  it('is built by npm pack itself, so that no old build is published', () => {
    const { scripts } = manifestOf('.');
    assert.equal(scripts.prepack, 'npm run build');
    assert.match(scripts.build ?? '', /^rm -rf dist && /u);
    for (const name of ['preinstall', 'install', 'postinstall', 'prepare', 'prepublish'])
      assert.equal(scripts[name], undefined, `${name} would run on a user's machine or at a wrong time`);
  });

  it('stays small', async () => {
    const { packedBytes, unpackedBytes } = await installed();
    assert.ok(packedBytes <= MOST_PACKED, `packed ${packedBytes}`);
    assert.ok(unpackedBytes <= MOST_UNPACKED, `unpacked ${unpackedBytes}`);
  });
});

describe('the installed package', function () {
  this.timeout(300_000);

  it('weighs, and brings, what README.md says (10 % either way)', async () => {
    const { folder } = await installed();
    const packages = broughtPackages(folder);
    const bytes = packages.reduce((sum, name) => sum + bytesOf(join(folder, 'node_modules', name)), 0);
    const direct = Object.keys(manifestOf(join(folder, 'node_modules/portknock')).dependencies).length;
    const others = packages.length - 1;
    const megabytes = (bytes / 1_000_000).toFixed(1);
    const wanted = `Installed it takes ${megabytes} MB, with ${others} packages of others, ${direct} of them direct dependencies`;
    const said =
      /Installed it takes ([\d.]+) MB, with (\d+) packages of others, (\d+) of them direct dependencies/u.exec(
        readFileSync('README.md', 'utf8').replace(/\s+/gu, ' '),
      );
    assert.ok(said !== null, `README.md does not say "${wanted}"`);
    assert.deepEqual(said.slice(2).map(Number), [others, direct], `it should be "${wanted}"`);
    assert.ok(Math.abs(Number(said[1]) * 1_000_000 - bytes) <= bytes / 10, `it should be "${wanted}"`);
  });
});

function manifestOf(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
}

/** Every file that package.json names for programs, manuals and importers, and what these load, to the end. */
function reachedFiles(own: string): ReadonlySet<string> {
  const { bin, man = [], exports, main, types } = manifestOf(own);
  const named = [...Object.values(bin), ...[man].flat(), main, types, ...leaves(exports)];
  const reached = new Set<string>();
  const waiting = named.map((file) => posix.normalize(file));
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (reached.has(file)) continue;
    reached.add(file);
    if (!/\.(js|cjs|ts|cts)$/u.test(file)) continue;
    const from = posix.dirname(file);
    // A program looks for its part beside it under the name that it has in the source tree, too.
    const beside = importsOf(readFileSync(join(own, file), 'utf8')).filter((to) =>
      /^\..*(?<!(?<!\.d)\.ts)$/u.test(to),
    );
    for (const to of beside) waiting.push(typesOr(file, posix.join(from, to)));
  }
  return reached;
}

function leaves(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value];
  return Object.values(value as Record<string, unknown>).flatMap(leaves);
}

// Literal names of `import`, `require` and `new URL(NAME, import.meta.url)`, with which a program beside is found.
function importsOf(text: string): readonly string[] {
  const patterns = [
    /(?:^|[;}\n])\s*(?:import|export)\b[^'"`;]*?\bfrom\s*["']([^"'\s]+)["']/gu,
    /(?:^|\n)import\s*["']([^"'\s]+)["']/gu,
    /\b(?:import|require\d*|require\.resolve)\(\s*["']([^"'\s]+)["']\s*\)/gu,
    /new URL\(\s*["'](\.[^"'\s]+)["']/gu,
  ];
  return patterns.flatMap((pattern) => [...text.matchAll(pattern)].map(([, name]) => name ?? ''));
}

// A declaration file imports `./x.js` and means `./x.d.ts`.
function typesOr(from: string, file: string): string {
  if (!/\.d\.c?ts$/u.test(from)) return file;
  return file.replace(/\.(c?)js$/u, '.d.$1ts');
}

// From npm's own list, so that what other tests put there does not count.
function broughtPackages(folder: string): readonly string[] {
  const lock = JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, unknown>;
  };
  return Object.keys(lock.packages)
    .filter((place) => place !== '')
    .map((place) => place.replace(/^node_modules\//u, ''));
}

function bytesOf(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);
}
