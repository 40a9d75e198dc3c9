// The comparison with knockd and fwknopd: `npm run build && npm run bench:peers`, as root; `-- --only open` for one
// part, `-- --rounds 30`, `-- --smoke` to see quickly that it works. Prints tables and writes benchmarks/results/peers.json.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { namespacesFault } from '../../test/support/netns.ts';
import { formatMachine, machine } from '../machine.ts';
import { isBuilt } from './ours.ts';
import type { Context, PartModule } from './part.ts';
import { number, PARTS, type Part, type Result, type Row } from './result.ts';
import { isInstalled } from './rig.ts';

const SMOKE_ROUNDS = 3;
const COLUMNS = 80;

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    rounds: { type: 'string', default: '30' },
    smoke: { type: 'boolean', default: false },
    json: { type: 'string', default: 'benchmarks/results/peers.json' },
  },
});

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Why it cannot run here; `null` when it can. */
function fault(): string | null {
  if (process.getuid?.() !== 0) return 'run as root';
  const missing = ['knockd', 'fwknopd', 'fwknop', 'cc', 'iptables', 'nft', 'ip'].filter(
    (program) => !isInstalled(program),
  );
  if (missing.length > 0) return `${missing.join(', ')}: not installed`;
  return isBuilt() ? namespacesFault() : 'dist/ is missing (npm run build)';
}

function partsOf(names: readonly string[]): readonly Part[] {
  const stranger = names.find((name) => !PARTS.some((part) => part === name));
  if (stranger !== undefined) throw new Error(`no part '${stranger}' (${PARTS.join(', ')})`);
  return PARTS.filter((part) => names.includes(part));
}

async function moduleOf(part: Part): Promise<PartModule> {
  return (await import(new URL(`./${part}.ts`, import.meta.url).href)) as PartModule;
}

function versionsOf(portknock: string): Record<string, string> {
  const first = (program: string, args: readonly string[]): string => {
    const { stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
    return `${stdout}${stderr}`.trim().split('\n')[0] ?? '';
  };
  return {
    portknock,
    knockd: first('knockd', ['--version']).replace('knockd ', ''),
    fwknopd: /\d[\d.]+\d/u.exec(first('fwknopd', ['--version']))?.[0] ?? '',
    nft: first('nft', ['--version']),
  };
}

/** Who, then how much, then what is to be said about it. */
function formatRow({ subject, scheme, driver, variant, unit, note, ...figures }: Row): string {
  const who = [subject, scheme, driver, variant].filter((word) => word !== undefined).join(', ');
  const { median, p95, value } = figures;
  const what =
    value !== undefined ? number(value) : `${number(median ?? Number.NaN)} / ${number(p95 ?? Number.NaN)}`;
  const figure = `${what} ${unit}`;
  const lines = [`  ${who.padEnd(COLUMNS - 3 - figure.length)} ${figure}`];
  return [...lines, ...wrapped(note ?? '')].join('\n');
}

function wrapped(text: string): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ').filter(Boolean)) {
    const longer = `${lines.at(-1) ?? ''} ${word}`;
    if (lines.length === 0 || longer.length > COLUMNS) lines.push(`      ${word}`);
    else lines[lines.length - 1] = longer;
  }
  return lines;
}

/** The run of which --only takes some parts again. */
function earlier(path: string): Pick<Result, 'parts' | 'commands'> {
  if (values.only === undefined || !existsSync(path)) return { parts: {}, commands: [] };
  return JSON.parse(readFileSync(path, 'utf8')) as Result;
}

const reason = fault();
if (reason !== null) throw new Error(`not measured: ${reason}`);
const names = partsOf(values.only ?? PARTS);
const rounds = values.smoke ? SMOKE_ROUNDS : Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1)
  throw new Error(`rounds must be a number, got '${values.rounds}'`);
const where = machine();
const versions = versionsOf(where.versions.portknock ?? '');
const path = resolve(fileURLToPath(new URL('../../', import.meta.url)), values.json);
const before = earlier(path);
const commands = new Set([...before.commands, `npm run build && npm run bench:peers -- --rounds ${rounds}`]);
const context: Context = {
  rounds,
  smoke: values.smoke,
  note: (text) => {
    print(`  ${text}`);
  },
  command: (line) => {
    commands.add(line);
  },
};
print(formatMachine(where));
const parts = { ...before.parts };
for (const name of names) {
  print(`\n${name}`);
  const rows = await (await moduleOf(name)).measure(context);
  for (const row of rows) print(formatRow(row));
  parts[name] = rows;
  // A part that fails must not cost what was measured before it.
  if (!values.smoke) keep();
}
print(values.smoke ? '\nsmoke run: these figures mean nothing, and are not kept' : `\nwritten to ${path}`);

function keep(): void {
  const date = new Date().toISOString();
  const result: Result = { date, machine: where, versions, commands: [...commands], rounds, parts };
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(result, null, 1)}\n`);
}
