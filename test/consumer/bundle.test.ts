// What a bundler makes of the packed package: a client stays small, and what is not used is left out.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { installed, runIn } from './installed.ts';

const KILOBYTE = 1000;

describe('a bundle that uses the packed package', function () {
  this.timeout(300_000);

  // Measured: 7 KB and 25 KB. More means that something heavy has become part of the light entry.
  for (const [name, text, atMost] of [
    ['profile', "import { parseProfile } from 'portknock/knocker'; console.log(typeof parseProfile);", 10],
    ['knocker', "import { Knocker } from 'portknock/knocker'; console.log(typeof Knocker);", 35],
  ] as const) {
    it(`holds no package of others and at most ${atMost} KB: ${name}`, async () => {
      const { bytes, packages, ran } = await bundled(name, text);
      assert.deepEqual([ran.code, ran.stdout], [0, 'function\n'], ran.stderr);
      assert.deepEqual(packages, ['portknock']);
      assert.ok(bytes <= atMost * KILOBYTE, `${bytes} bytes`);
    });
  }

  it('leaves the rest of the main entry out, which has no side effects', async () => {
    const { packages, bytes } = await bundled(
      'main',
      "import { parseProfile } from 'portknock'; console.log(typeof parseProfile);",
    );
    assert.deepEqual(packages, ['portknock']);
    assert.ok(bytes <= 10 * KILOBYTE, `${bytes} bytes`);
  });

  it('works as CommonJS too, where import.meta.url is undefined, and finds what stays outside', async () => {
    const { ran } = await bundled(
      'sealing',
      `import { openSealed, sealProfile } from 'portknock/knocker';
       sealProfile('text', 'a long password').then((sealed) => openSealed(sealed, 'a long password')).then(console.log);`,
      'cjs',
    );
    assert.deepEqual([ran.code, ran.stdout], [0, 'text\n'], ran.stderr);
  });

  it('is nothing but its own text when it uses nothing', async () => {
    const { bytes } = await bundled('nothing', "import 'portknock'; import 'portknock/knocker';");
    assert.ok(bytes < 100, `${bytes} bytes`);
  });
});

async function bundled(name: string, text: string, format: 'esm' | 'cjs' = 'esm') {
  const { folder } = await installed();
  const entry = join(folder, `bundle-${name}.js`);
  await writeFile(entry, text);
  const outfile = join(folder, `bundled-${name}.${format === 'esm' ? 'mjs' : 'cjs'}`);
  const { metafile } = await build({
    absWorkingDir: folder,
    entryPoints: [entry],
    outfile,
    bundle: true,
    minify: true,
    platform: 'node',
    format,
    metafile: true,
    logLevel: 'silent',
  });
  const [output] = Object.values(metafile.outputs);
  assert.ok(output !== undefined);
  const used = Object.entries(output.inputs).filter(([, { bytesInOutput }]) => bytesInOutput > 0);
  const packages = used.flatMap(([file]) => /node_modules\/((?:@[^/]+\/)?[^/]+)/u.exec(file)?.[1] ?? []);
  return {
    bytes: output.bytes,
    packages: [...new Set(packages)],
    ran: await runIn(folder, process.execPath, [outfile]),
  };
}
