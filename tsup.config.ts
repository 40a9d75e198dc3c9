// How the package is built: one flat dist/, ESM and CJS of the library with shared chunks
// (each error class must exist once per format), ESM only for the programs.
import { defineConfig, type Options } from 'tsup';
import { writeManPages } from './cli/pages/write.ts';

const library = { index: 'lib/index.ts', knocker: 'lib/knocker.ts', testing: 'lib/testing.ts' };

const shared: Options = {
  outDir: 'dist',
  target: 'node20.19',
  splitting: true,
  external: ['pcap', 'prom-client'],
  removeNodeProtocol: false,
  metafile: true, // for .ci/papers.mjs, which takes it away again
};

export default defineConfig([
  {
    ...shared,
    entry: {
      ...library,
      portknock: 'cli/portknock.ts',
      portknockd: 'cli/portknockd.ts',
      'capture-child': 'lib/capture/child.ts',
    },
    format: ['esm'],
    onSuccess: () => writeManPages(import.meta.dirname),
  },
  // `treeshake` makes rollup turn the chunks into CommonJS: tsup's own way, sucrase, rewrites `?.` and `#private` too.
  // It also turns import.meta.url into its CommonJS form, so that no shim of tsup's is in the package.
  { ...shared, entry: library, format: ['cjs'], treeshake: true },
  {
    outDir: 'dist',
    entry: library,
    format: ['esm', 'cjs'],
    dts: {
      only: true,
      banner: '/// <reference types="node" />',
      compilerOptions: { ignoreDeprecations: '6.0' },
    },
  },
]);
