// What the build adds to dist/: the man pages. Their date is that of the release, so that every build of it is the same.

import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PORTKNOCK } from '../manual/portknock.ts';
import { PORTKNOCKD } from '../manual/portknockd.ts';
import { configurationMan } from './configuration.ts';
import { manPage } from './man.ts';

/** When the texts were looked through last: the date of a version that CHANGELOG.md has no date for. */
const REVISED = '2026-11-29';

/** The pages of the package at `root`, by file name. */
export async function manPages(root: string): Promise<Readonly<Record<string, string>>> {
  const manifest = await readFile(join(root, 'package.json'), 'utf8');
  const { version } = JSON.parse(manifest) as { version: string };
  const date = releaseDate(await readFile(join(root, 'CHANGELOG.md'), 'utf8'), version) ?? REVISED;
  return {
    'portknock.1': manPage(PORTKNOCK, { section: 1, date, version, see: ['portknockd(8)'] }),
    'portknockd.8': manPage(PORTKNOCKD, {
      ...{ section: 8, date, version },
      see: ['portknock(1)', 'portknockd.yaml(5)'],
    }),
    'portknockd.yaml.5': configurationMan({
      ...{ section: 5, date, version },
      see: ['portknock(1)', 'portknockd(8)'],
    }),
  };
}

/** Writes them to `dist/man`. */
export async function writeManPages(root: string): Promise<void> {
  const folder = join(root, 'dist', 'man');
  await mkdir(folder, { recursive: true });
  for (const [name, text] of Object.entries(await manPages(root))) await writeFile(join(folder, name), text);
}

/** The date of a version in a changelog; `null` as long as it is not released. */
export function releaseDate(changelog: string, version: string): string | null {
  const heading = changelog.split('\n').find((line) => line.startsWith(`## [${version}] `));
  return /\d{4}-\d{2}-\d{2}/u.exec(heading ?? '')?.[0] ?? null;
}
