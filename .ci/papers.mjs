// Writes what the built package says about what it is made of, beside the code: dist/sbom.cdx.json (CycloneDX 1.6: the
// packages that come with it, and those that are inside it) and dist/third-party.txt (licence texts of the latter).
// The same tree gives the same bytes: no time stamp, no serial number. Fails rather than leaving a package out.
// Usage: node .ci/papers.mjs, after tsup and before npm pack; package.json's `build` does that.

import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const dist = join(root, 'dist');
const own = readJson('package.json');
const lock = readJson('package-lock.json').packages;

const bundled = bundledPlaces();
writeFileSync(join(dist, 'sbom.cdx.json'), `${JSON.stringify(sbom(), null, 2)}\n`);
writeFileSync(join(dist, 'third-party.txt'), notices());

// --- what is in it ---

// Of every byte in dist/ esbuild has noted which file it is from.
function bundledPlaces() {
  const notes = readdirSync(dist).filter((name) => /^metafile-\w+\.json$/u.test(name));
  if (notes.length === 0) fail('dist/ has no metafile (run npm run build)');
  const found = new Set();
  for (const note of notes) {
    for (const { inputs } of Object.values(readJson(join('dist', note)).outputs)) {
      for (const [file, { bytesInOutput }] of Object.entries(inputs)) {
        const place = /(?:^|\/)(node_modules\/(?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/]+)\//u.exec(file)?.[1];
        if (place !== undefined && bytesInOutput > 0) found.add(place);
      }
    }
    rmSync(join(dist, note));
  }
  return [...found].sort();
}

/** Places in package-lock.json of everything that `npm install portknock` brings, without optional peers. */
function broughtPlaces() {
  const found = new Set();
  const waiting = placesNeededBy('');
  for (let place = waiting.pop(); place !== undefined; place = waiting.pop()) {
    if (found.has(place)) continue;
    found.add(place);
    waiting.push(...placesNeededBy(place));
  }
  return [...found].sort();
}

function placesNeededBy(place) {
  const { dependencies = {}, optionalDependencies = {} } = lock[place];
  return Object.keys({ ...dependencies, ...optionalDependencies }).map((name) => placeOf(name, place));
}

// Where Node looks: in the package's own node_modules, then in those of the folders above it.
function placeOf(name, from) {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('node_modules/') - 1))) {
    const place = `${folder === '' ? '' : `${folder}/`}node_modules/${name}`;
    if (lock[place] !== undefined) return place;
    if (folder === '') fail(`package-lock.json has no ${name} for ${from || 'portknock'} (run npm install)`);
  }
}

// --- the bill of materials ---

function sbom() {
  const brought = broughtPlaces();
  const inside = bundled.filter((place) => !brought.includes(place));
  const component = {
    type: 'library',
    'bom-ref': refOf(own),
    name: own.name,
    version: own.version,
    description: own.description,
    licenses: licencesOf(own.license),
    purl: purlOf(own),
  };
  const places = [...brought, ...inside].sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
  const direct = [...new Set([...placesNeededBy(''), ...inside])];
  return {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: { lifecycles: [{ phase: 'build' }], component },
    components: places.map((place) => componentAt(place, inside.includes(place))),
    dependencies: [
      { ref: refOf(own), dependsOn: direct.map(refAt).sort() },
      // Of what is inside, only what was taken in counts, and that is listed with the rest.
      ...places.map((place) => ({
        ref: refAt(place),
        dependsOn: inside.includes(place) ? [] : placesNeededBy(place).map(refAt).sort(),
      })),
    ],
  };
}

function componentAt(place, isInside) {
  const entry = lock[place];
  const one = { name: nameOf(place), version: entry.version };
  const hash = /^sha512-(.+)$/u.exec(entry.integrity ?? '');
  if (hash === null || entry.license === undefined)
    fail(`package-lock.json lacks integrity or licence of ${place}`);
  const [name, group] = one.name.split('/').reverse();
  return {
    type: 'library',
    'bom-ref': refOf(one),
    ...(group === undefined ? {} : { group }),
    name,
    version: one.version,
    scope: 'required',
    hashes: [{ alg: 'SHA-512', content: Buffer.from(hash[1], 'base64').toString('hex') }],
    licenses: licencesOf(entry.license),
    purl: purlOf(one),
    ...(isInside ? { properties: [{ name: 'cdx:npm:package:bundled', value: 'true' }] } : {}),
  };
}

function licencesOf(text) {
  return /[ (]/u.test(text) ? [{ expression: text }] : [{ license: { id: text } }];
}

function nameOf(place) {
  return place.slice(place.lastIndexOf('node_modules/') + 'node_modules/'.length);
}

function refAt(place) {
  return refOf({ name: nameOf(place), version: lock[place].version });
}

function refOf({ name, version }) {
  return `${name}@${version}`;
}

function purlOf({ name, version }) {
  return `pkg:npm/${name.replace('@', '%40')}@${version}`;
}

// --- the licence texts ---

function notices() {
  const head = 'portknock contains code of the packages below, each under its own licence.\n';
  const parts = bundled.map((place) => {
    const file = readdirSync(join(root, place)).find((name) => /^licen[cs]e(\.|$)/iu.test(name));
    if (file === undefined) fail(`${place} is bundled and has no licence text`);
    const { version, license } = lock[place];
    return `${nameOf(place)} ${version} (${license})\n\n${readFileSync(join(root, place, file), 'utf8').trim()}\n`;
  });
  return [head, ...parts].join(`\n${'-'.repeat(80)}\n\n`);
}

function readJson(name) {
  return JSON.parse(readFileSync(join(root, name), 'utf8'));
}

function fail(text) {
  console.error(`papers: ${text}`);
  process.exit(1);
}
