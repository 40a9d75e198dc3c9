// Lint rules: typescript-eslint's strictest for everything; a little looser where a test or a benchmark reads
// better for it. Comments cannot switch rules off. Who may import whom is test/house/imports.test.ts's business.
import js from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';

const plain = ['**/*.js', '**/*.mjs', '**/*.cjs'];
const nodeGlobals = Object.fromEntries(
  [
    'process',
    'console',
    'module',
    'require',
    'Buffer',
    'URL',
    'AbortController',
    'performance',
    'setTimeout',
    'clearTimeout',
    'setImmediate',
    '__dirname',
  ].map((name) => [name, 'readonly']),
);

export default defineConfig(
  globalIgnores(['dist/', '.programs/', 'coverage/', 'docs/api/', '**/vectors/', 'benchmarks/results/']),
  { linterOptions: { noInlineConfig: true, reportUnusedDisableDirectives: 'error' } },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/require-await': 'off', // `async` makes a throw a rejection, which the interfaces promise
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
      eqeqeq: 'error',
      'no-control-regex': 'off', // control characters are what printable() and the parsers look for
    },
  },
  {
    files: ['lib/**/*.ts', 'cli/**/*.ts'],
    rules: {
      'no-restricted-syntax': [
        'error',
        { selector: 'ExportDefaultDeclaration', message: 'named exports only' },
        { selector: 'ForInStatement', message: 'for...in walks the prototype; use Object.keys' },
      ],
    },
  },
  {
    files: ['lib/**/*.ts'],
    rules: {
      'no-console': 'error',
      'no-restricted-imports': [
        'error',
        {
          paths: [
            { name: 'pcap', message: 'only capture/child.ts loads it, dynamically' },
            {
              name: 'node:child_process',
              message: 'only firewall/run.ts, capture/live.ts and privilege/spawn.ts start processes',
            },
            { name: 'child_process', message: 'write node:' },
          ],
          patterns: [
            { group: ['**/lib/index.ts', '../index.ts', './index.ts'], message: 'lib/index.ts is for users' },
          ],
        },
      ],
    },
  },
  {
    files: ['lib/firewall/run.ts', 'lib/capture/live.ts', 'lib/privilege/spawn.ts'],
    rules: { 'no-restricted-imports': 'off' },
  },
  {
    files: ['test/**/*.ts', 'benchmarks/**/*.ts', 'examples/**/*.ts'],
    rules: {
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-unnecessary-condition': 'off', // flags set in a callback look constant to it
      '@typescript-eslint/unbound-method': 'off',
    },
  },
  { files: plain, languageOptions: { globals: nodeGlobals } },
  { files: ['**/*.cjs'], languageOptions: { sourceType: 'commonjs' } },
);
