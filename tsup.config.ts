// How the package is built: one flat dist/, ESM and CJS of the library with shared chunks
// (each error class must exist once per format), ESM only for the programs.
import { defineConfig, type Options } from 'tsup';

const library = { index: 'lib/index.ts', knocker: 'lib/knocker.ts', testing: 'lib/testing.ts' };

const shared: Options = {
  outDir: 'dist',
  target: 'node20.19',
  splitting: true,
  shims: true,
  external: ['pcap', 'prom-client'],
  removeNodeProtocol: false,
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
  },
  // `treeshake` makes rollup turn the chunks into CommonJS: tsup's own way, sucrase, rewrites `?.` and `#private` too.
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
