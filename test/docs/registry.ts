// A package registry for machines that have no other: the packed portknock, all that it depends on, and pcap, which is
// there built already, so that nobody waits for a compiler. npm itself is the real one.

import { execFile, type ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Namespace } from '../support/netns.ts';

const run = promisify(execFile);
const PORT = 4873;

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly dependencies?: Readonly<Record<string, string>>;
}

/** Where the registry is for somebody who reaches it at this address. */
export function registryUrl(address: string): string {
  return `http://${address}:${PORT}/`;
}

/**
 * Starts one in a namespace.
 *
 * @param folder - an empty one, for what it serves
 * @param consumer - where the packed package is installed
 */
export async function startRegistry(
  space: Namespace,
  { folder, consumer, address }: { folder: string; consumer: string; address: string },
): Promise<{ stop(): Promise<void> }> {
  const wanted = new Map<string, string>();
  collect('portknock', join(consumer, 'node_modules/portknock'), wanted);
  collect('pcap', resolve('node_modules/pcap'), wanted);
  await Promise.all([...wanted].map(([name, from]) => publish(name, { from, folder, address })));
  const script = resolve(import.meta.dirname, 'registry-server.mjs');
  const child = space.spawn(process.execPath, [script, folder, String(PORT)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { PATH: process.env.PATH },
  });
  await saysSomething(child);
  return {
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGTERM');
      await gone;
    },
  };
}

async function saysSomething(child: ChildProcess): Promise<void> {
  const [said] = (await Promise.race([once(child.stdout!, 'data'), once(child, 'exit')])) as unknown[];
  if (!Buffer.isBuffer(said)) throw new Error(`the registry did not start: ${String(said)}`);
}

function collect(name: string, from: string, wanted: Map<string, string>): void {
  if (wanted.has(name)) return;
  wanted.set(name, from);
  for (const each of Object.keys(manifestOf(from).dependencies ?? {}))
    collect(each, found(each, from), wanted);
}

/** As Node looks for it: beside, or further up. */
function found(name: string, from: string): string {
  for (let folder = from; ; folder = dirname(folder)) {
    const here = join(folder, 'node_modules', name);
    if (existsSync(here)) return here;
    if (folder === dirname(folder)) throw new Error(`${name} is not installed for ${from}`);
  }
}

async function publish(
  name: string,
  { from, folder, address }: { from: string; folder: string; address: string },
): Promise<void> {
  const place = join(folder, name);
  await mkdir(place, { recursive: true });
  const file = join(place, 'package.tgz');
  // As npm packs it: a hard link would be left out when it is installed.
  const shape = ['--hard-dereference', '--transform', 's,^[.],package,', '--exclude', './node_modules'];
  await run('tar', ['-cf', file, '-I', 'gzip -1', ...shape, '-C', from, '.']);
  const integrity = `sha512-${createHash('sha512')
    .update(await readFile(file))
    .digest('base64')}`;
  const manifest = manifestOf(from);
  const dist = { tarball: `${registryUrl(address)}${name}/package.tgz`, integrity };
  const versions = { [manifest.version]: { ...manifest, dist } };
  await writeFile(
    join(place, 'index.json'),
    JSON.stringify({ name, 'dist-tags': { latest: manifest.version }, versions }),
  );
}

function manifestOf(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
}
