// Runs the benchmarks: `npm run bench`, with `-- --only NAME` for one of them, `-- --smoke` to see quickly that they
// work. Prints a table and writes the same as JSON.

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { Bench, HEADER, type Row } from './bench.ts';
import { connect } from './connect.ts';
import { decode } from './decode.ts';
import { explainBench } from './explain.ts';
import { fwknopBench } from './fwknop.ts';
import { grant } from './grant.ts';
import { formatMachine, machine } from './machine.ts';
import { oneTimeBench } from './one-time.ts';
import { pipeline } from './pipeline.ts';
import { replay } from './replay.ts';
import { separation } from './separation.ts';
import { sequenceBench } from './sequence.ts';
import { spaBench } from './spa.ts';
import { startUp } from './start-up.ts';

const BENCHMARKS: Readonly<Record<string, (bench: Bench) => Promise<void>>> = {
  decode,
  'one-time': oneTimeBench,
  spa: spaBench,
  fwknop: fwknopBench,
  sequence: sequenceBench,
  replay,
  grant,
  separation,
  pipeline,
  explain: explainBench,
  'start-up': startUp,
  connect,
};
const LATEST = 'benchmarks/results/latest.json';

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    smoke: { type: 'boolean', default: false },
    json: { type: 'string', default: LATEST },
  },
});
const names = values.only ?? Object.keys(BENCHMARKS);
const print = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

if (globalThis.gc === undefined) throw new Error('run with node --expose-gc (npm run bench does)');
const where = machine();
print(formatMachine(where));
const rows: Row[] = [];
for (const name of names) {
  const run = BENCHMARKS[name];
  if (run === undefined) throw new Error(`no benchmark '${name}' (${Object.keys(BENCHMARKS).join(', ')})`);
  print(`\n${name}\n${HEADER}`);
  const bench = new Bench(name, values.smoke, print);
  await run(bench);
  rows.push(...bench.rows);
}
if (values.smoke) {
  print('\nsmoke run: these figures mean nothing, and are not kept');
} else {
  const path = resolve(values.json);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(
    path,
    `${JSON.stringify({ date: new Date().toISOString(), machine: where, rows }, null, 1)}\n`,
  );
  print(`\nwritten to ${path}`);
}
