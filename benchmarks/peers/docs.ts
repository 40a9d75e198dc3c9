// Writes what a run of `npm run bench:peers` found into docs/: the section of benchmarks.md between its markers, and the
// picture. usage: docs.ts [JSON]; benchmarks/results/peers.json unless said.

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { plotOf } from './plot.ts';
import type { Result } from './result.ts';
import { BEGIN, END, tableOf } from './table.ts';

const path = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const PAGE = path('docs/benchmarks.md');
const WIDTH = 120;

const result = JSON.parse(
  readFileSync(process.argv[2] ?? path('benchmarks/results/peers.json'), 'utf8'),
) as Result;
const page = readFileSync(PAGE, 'utf8');
const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)];
if (from < 0 || to < from) throw new Error(`docs/benchmarks.md has no section '${BEGIN}'`);
const rules = { ...(await resolveConfig(PAGE)), filepath: PAGE };
const section = await format(tableOf(result), { ...rules, proseWrap: 'always', printWidth: WIDTH });
const filled = page.slice(0, from) + section.trimEnd() + page.slice(to + END.length);
writeFileSync(PAGE, await format(filled, rules));
writeFileSync(path('docs/benchmarks-peers.svg'), plotOf(result));
