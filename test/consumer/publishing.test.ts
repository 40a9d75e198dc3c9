// What the registry and its scanners get to see: publint and attw agree with package.json, npm would publish it without
// a correction, and the bill of materials in the package is true.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Spec, Validation } from '@cyclonedx/cyclonedx-library';
import { installed, runIn } from './installed.ts';

interface Component {
  readonly name: string;
  readonly group?: string;
  readonly version: string;
  readonly purl: string;
  readonly 'bom-ref': string;
  readonly licenses: readonly (
    { readonly license: { readonly id: string } } | { readonly expression: string }
  )[];
  readonly hashes: readonly { readonly alg: string; readonly content: string }[];
  readonly properties?: readonly { readonly name: string; readonly value: string }[];
}

interface Sbom {
  readonly serialNumber?: string;
  readonly metadata: { readonly timestamp?: string; readonly component: Component };
  readonly components: readonly Component[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

const TOOL = (name: string) => resolve('node_modules', name);

describe('publishing the package', function () {
  this.timeout(300_000);

  it('finds publint content, warnings included', async () => {
    const { tarball, folder } = await installed();
    const ran = await runIn(folder, process.execPath, [TOOL('publint/src/cli.js'), tarball, '--strict']);
    assert.equal(ran.code, 0, ran.stdout + ran.stderr);
    assert.match(ran.stdout, /All good/u);
  });

  it('finds attw content with every entry point, for importers and requirers', async () => {
    const { tarball, folder } = await installed();
    const attw = TOOL('@arethetypeswrong/cli/dist/index.js');
    const ran = await runIn(folder, process.execPath, [
      attw,
      tarball,
      '--profile',
      'node16',
      '--format',
      'json',
    ]);
    assert.equal(ran.code, 0, ran.stdout + ran.stderr);
    const { analysis } = JSON.parse(ran.stdout) as {
      analysis: { entrypoints: Record<string, unknown>; problems: { resolutionKind?: string }[] };
    };
    const { exports } = JSON.parse(readFileSync('package.json', 'utf8')) as { exports: object };
    assert.deepEqual(Object.keys(analysis.entrypoints).sort(), Object.keys(exports).sort());
    // TypeScript's resolution of before `exports`; version 7 has it no more.
    assert.deepEqual(
      analysis.problems.filter(({ resolutionKind }) => resolutionKind !== 'node10'),
      [],
    );
  });

  it('needs no correction by npm', async () => {
    const { source } = await installed();
    const ran = await runIn(source, 'npm', ['publish', '--dry-run', '--ignore-scripts', '--tag', 'next']);
    assert.equal(ran.code, 0, ran.stderr);
    const warnings = ran.stderr.split('\n').filter((line) => /\bwarn\b/iu.test(line));
    assert.deepEqual(
      warnings.filter((line) => !line.includes('requires you to be logged in')),
      [],
    );
  });
});

describe('the bill of materials in the package', function () {
  this.timeout(300_000);
  let sbom: Sbom;
  let text = '';
  let own = '';

  before(async () => {
    own = join((await installed()).folder, 'node_modules/portknock');
    text = readFileSync(join(own, 'dist/sbom.cdx.json'), 'utf8');
    sbom = JSON.parse(text) as Sbom;
  });

  it('is valid CycloneDX 1.6', async () => {
    const validator = new Validation.JsonStrictValidator(Spec.Version.v1dot6);
    assert.equal(await validator.validate(text), null);
    const broken = text.replace('"scope": "required"', '"scope": "maybe"');
    assert.notEqual(await validator.validate(broken), null, 'the validator can fail');
  });

  it('has neither a time stamp nor a serial number, so that the same tree gives the same bytes', () => {
    assert.deepEqual([sbom.serialNumber, sbom.metadata.timestamp], [undefined, undefined]);
  });

  it('lists what npm installs with the package, each with its version, and what is inside it', async () => {
    const { folder } = await installed();
    const lock = JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { version?: string }>;
    };
    const brought = Object.entries(lock.packages)
      .filter(([place]) => place !== '' && place !== 'node_modules/portknock')
      .map(([place, { version }]) => `${place.replace(/^.*node_modules\//u, '')}@${version ?? ''}`);
    const refs = (inside: boolean) =>
      sbom.components.filter((each) => isInside(each) === inside).map((each) => each['bom-ref']);
    assert.deepEqual(refs(false).sort(), brought.sort());
    assert.deepEqual(
      refs(true).map((ref) => ref.replace(/@[^@]+$/u, '')),
      ['valibot'],
    );
  });

  it('says of each component what npm says: purl, licence and hash', async () => {
    const ran = await runIn(resolve('.'), 'npm', [
      'sbom',
      '--sbom-format',
      'cyclonedx',
      '--package-lock-only',
    ]);
    assert.equal(ran.code, 0, ran.stderr);
    const theirs = new Map(
      (JSON.parse(ran.stdout) as Sbom).components.map((each) => [each['bom-ref'], factsOf(each)]),
    );
    for (const each of sbom.components) assert.deepEqual(factsOf(each), theirs.get(each['bom-ref']));
    const { name, version, purl } = sbom.metadata.component;
    assert.deepEqual([name, purl], ['portknock', `pkg:npm/portknock@${version}`]);
  });

  it('says what needs what, within itself', () => {
    const refs = [sbom.metadata.component, ...sbom.components].map((each) => each['bom-ref']);
    assert.deepEqual(sbom.dependencies.map(({ ref }) => ref).sort(), refs.sort());
    const named = sbom.dependencies.flatMap(({ dependsOn }) => dependsOn);
    assert.deepEqual(
      named.filter((ref) => !refs.includes(ref)),
      [],
    );
    const root = sbom.dependencies.find(({ ref }) => ref === sbom.metadata.component['bom-ref']);
    const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as {
      dependencies: Record<string, string>;
    };
    const direct = Object.entries(dependencies).map(([name, version]) => `${name}@${version}`);
    const inside = sbom.components.filter(isInside).map((each) => each['bom-ref']);
    assert.deepEqual(root?.dependsOn, [...direct, ...inside].sort());
  });

  it('comes with the licence text of what is inside', () => {
    const notices = readFileSync(join(own, 'dist/third-party.txt'), 'utf8');
    for (const { name, version } of sbom.components.filter(isInside)) {
      assert.ok(notices.includes(`${name} ${version} (`), name);
      assert.ok(
        notices.includes(readFileSync(join('node_modules', name, 'LICENSE.md'), 'utf8').trim()),
        name,
      );
    }
  });
});

function isInside({ properties = [] }: Component): boolean {
  return properties.some(({ name, value }) => name === 'cdx:npm:package:bundled' && value === 'true');
}

function factsOf({ name, group, version, purl, licenses, hashes }: Component) {
  return { name, group, version, purl, hashes, licenses };
}
