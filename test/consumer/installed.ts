// The package as a user gets it: a copy of the tree packed by `npm pack`, which builds it (`prepack`), and installed in
// an empty folder. Made once per test run and removed at its end; the working tree's own dist/ is left alone.

import { execFile } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const ROOT = resolve(import.meta.dirname, '../..');
// Made here or fetched. All else is copied, tests and all: that it stays out of the tarball is tested.
const NOT_COPIED = ['.git', 'node_modules', 'dist', 'coverage', '.programs', '.cache', 'docs/api'];

/** Where the package is installed, and what its tarball contains. */
export interface Installed {
  /** The consumer's folder, with its `node_modules`. */
  readonly folder: string;
  /** Paths in the tarball. */
  readonly files: readonly string[];
  /** The tarball, and its sizes in bytes. */
  readonly tarball: string;
  readonly packedBytes: number;
  readonly unpackedBytes: number;
  /** The copy of the tree that was packed, with its `dist/`. */
  readonly source: string;
}

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

let once: Promise<Installed> | undefined;

/** Builds, packs and installs, the first time that it is asked. Takes some seconds. */
export function installed(): Promise<Installed> {
  once ??= install();
  return once;
}

async function install(): Promise<Installed> {
  const temporary = await mkdtemp(join(tmpdir(), 'portknock-consumer-'));
  after(() => rm(temporary, { recursive: true, force: true }));
  const source = join(temporary, 'source');
  await cp(ROOT, source, {
    recursive: true,
    filter: (path) => !NOT_COPIED.includes(relative(ROOT, path)),
  });
  await symlink(join(ROOT, 'node_modules'), join(source, 'node_modules'));
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', temporary], options(source));
  const packed = packedOf(stdout);
  const folder = join(temporary, 'consumer');
  await mkdir(folder);
  await writeFile(
    join(folder, 'package.json'),
    JSON.stringify({ name: 'consumer', private: true, type: 'module' }),
  );
  const quiet = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', '--fetch-retries=5'];
  const tarball = join(temporary, packed.filename);
  await run('npm', ['install', ...quiet, tarball], options(folder));
  return {
    folder,
    files: packed.files.map(({ path }) => path).sort(),
    tarball,
    packedBytes: packed.size,
    unpackedBytes: packed.unpackedSize,
    source,
  };
}

interface Packed {
  readonly filename: string;
  readonly size: number;
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string }[];
}

// After what the build says: a list before npm 12, an object by name since.
function packedOf(stdout: string): Packed {
  const [packed] = Object.values(
    JSON.parse(stdout.slice(stdout.search(/^[[{]$/mu))) as Record<string, Packed>,
  );
  if (packed === undefined) throw new Error(`npm pack said nothing: ${stdout}`);
  return packed;
}

/** Runs a program in the consumer's folder to its end, whatever its exit code. */
export async function runIn(folder: string, file: string, args: readonly string[], env = {}): Promise<Ran> {
  try {
    const { stdout, stderr } = await run(file, args, options(folder, env));
    return { code: 0, stdout, stderr };
  } catch (error) {
    const failed = error as Partial<Ran> & { code?: unknown };
    if (typeof failed.code !== 'number') throw error;
    return { code: failed.code, stdout: failed.stdout ?? '', stderr: failed.stderr ?? '' };
  }
}

/** Runs a program text under Node in the consumer's folder; `name` decides between ESM (.mjs) and CJS (.cjs). */
export async function runText(name: string, text: string, env = {}): Promise<Ran> {
  const { folder } = await installed();
  await writeFile(join(folder, name), text);
  return runIn(folder, process.execPath, [name], env);
}

/** Type checks files in the consumer's folder with the repository's types of Node and its compiler, or another one. */
export async function typeCheck(
  files: Readonly<Record<string, string>>,
  flags: readonly string[],
  compiler = join(ROOT, 'node_modules/typescript/bin/tsc'),
): Promise<Ran> {
  const { folder } = await installed();
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  const types = join(folder, 'node_modules/@types');
  await mkdir(types, { recursive: true });
  if (!(await readdir(types)).includes('node'))
    await symlink(join(ROOT, 'node_modules/@types/node'), join(types, 'node'));
  return runIn(folder, process.execPath, [
    compiler,
    '--noEmit',
    '--target',
    'es2022',
    ...flags,
    ...Object.keys(files),
  ]);
}

// Without our coverage and test settings: the programs are somebody else's.
function options(cwd: string, env = {}) {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(NODE_|npm_|PORTKNOCK_)/u.test(name));
  return { cwd, env: { ...Object.fromEntries(inherited), ...env }, timeout: 300_000 };
}
