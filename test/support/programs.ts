// Our programs as the tests start them: bundled once for each run of mocha, in the shape of the package, since reading them
// from source takes longer than most of what they are started for. Without mocha (the soak) they run from source.

import { createRequire } from 'node:module';
import { rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';

export type Program = 'portknock' | 'portknockd';

/** Beside node_modules and package.json, which the programs look for. */
export const FOLDER = '.programs';
/** Set for this process and its children once the bundles are there. */
export const VARIABLE = 'PORTKNOCK_TEST_PROGRAMS';

/** Mocha calls it before the first test. A test that runs mocha in this tree finds the bundles of the run that it is in. */
export async function mochaGlobalSetup(): Promise<void> {
  if (process.env[VARIABLE] === resolve(FOLDER)) return;
  await rm(FOLDER, { recursive: true, force: true });
  await build({
    entryPoints: {
      portknock: 'cli/portknock.ts',
      portknockd: 'cli/portknockd.ts',
      'capture-child': 'lib/capture/child.ts',
    },
    outdir: FOLDER,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    packages: 'external',
    // For the coverage.
    sourcemap: 'linked',
    logLevel: 'warning',
  });
  process.env[VARIABLE] = resolve(FOLDER);
}

/** What Node is to be started with, in any directory. */
export function programArgs(program: Program): readonly string[] {
  const folder = process.env[VARIABLE];
  if (folder !== undefined) return [resolve(folder, `${program}.js`)];
  const tsx = pathToFileURL(createRequire(resolve('package.json')).resolve('tsx')).href;
  return ['--import', tsx, resolve('cli', `${program}.ts`)];
}
