// The Node versions and the oldest TypeScript that the packed package is tested with, from the npm registry by the hashes
// of versions/package-lock.json. Fetched once per machine and lock file into the user's cache, outside the tree.

import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const HERE = join(import.meta.dirname, 'versions');
const LOCK = readFileSync(join(HERE, 'package-lock.json'), 'utf8');

/** Versions of Node, oldest first. */
export const NODES: readonly string[] = [
  ...new Set([...LOCK.matchAll(/"node_modules\/node-([\d.]+)-\w+"/gu)].map(([, version]) => version ?? '')),
].sort();

let once: Promise<string> | undefined;

/** The path of a Node of that version. @throws if it cannot be had here, with the reason. */
export async function nodeOf(version: string): Promise<string> {
  const node = join(await fetched(), `node_modules/node-${version}-${process.arch}/bin/node`);
  if (existsSync(node)) return node;
  throw new Error(
    `node ${version} for ${process.platform} ${process.arch} is not in test/consumer/versions/package.json`,
  );
}

/** The path of the oldest TypeScript compiler that we say we work with. */
export async function oldestTypeScript(): Promise<string> {
  return join(await fetched(), 'node_modules/typescript-oldest/bin/tsc');
}

function fetched(): Promise<string> {
  once ??= fetchAll();
  return once;
}

// Made beside its place and moved there whole: a run that was killed leaves nothing that looks complete.
async function fetchAll(): Promise<string> {
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'portknock-test');
  const place = join(cache, createHash('sha256').update(LOCK).digest('hex').slice(0, 16));
  if (existsSync(place)) return place;
  await mkdir(cache, { recursive: true });
  const making = await mkdtemp(join(cache, 'making-'));
  try {
    for (const name of ['package.json', 'package-lock.json'])
      await copyFile(join(HERE, name), join(making, name));
    await run(
      'npm',
      ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', '--fetch-retries=5'],
      {
        cwd: making,
        timeout: 600_000,
      },
    );
    await Promise.all(
      NODES.flatMap((version) =>
        ['include', 'share', 'CHANGELOG.md', 'README.md'].map((part) =>
          rm(join(making, `node_modules/node-${version}-${process.arch}`, part), {
            recursive: true,
            force: true,
          }),
        ),
      ),
    );
    await rename(making, place).catch((error: unknown) => {
      if (!existsSync(place)) throw error; // another run was quicker
    });
  } finally {
    await rm(making, { recursive: true, force: true });
  }
  return resolve(place);
}
