// `npm test`: every test, in processes of mocha that run two at a time. Tests that share what is dear to make (two machines
// under attack, the installed package) share a process; of the others most wait for a kernel, which another lane can use.

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { mochaGlobalSetup } from './support/programs.ts';

interface Lane {
  readonly name: string;
  readonly files: readonly string[];
  readonly except?: readonly string[];
}

/** The longest first. What fits none of the others is in the first or the last of them, so that no file is forgotten. */
const LANES: readonly Lane[] = [
  {
    name: 'kernel',
    files: ['test/e2e/**/*.test.ts'],
    except: ['test/e2e/[a-e]*.test.ts', 'test/e2e/{faults,attacks}/**'],
  },
  { name: 'kernel, a to e and faults', files: ['test/e2e/[a-e]*.test.ts', 'test/e2e/faults/**/*.test.ts'] },
  { name: 'attacks', files: ['test/e2e/attacks/**/*.test.ts'] },
  { name: 'package and pages', files: ['test/{consumer,docs}/**/*.test.ts'] },
  { name: 'units', files: ['test/**/*.test.ts'], except: ['test/{e2e,consumer,docs,slow}/**'] },
];
/** Mocha without the process around it that kills it at a signal; it does nothing by any other name. */
const MOCHA = 'node_modules/mocha/lib/cli/cli.js';
const AT_A_TIME = 2;
/** How long what a lane started may hold the lane's output after its end: on a busy machine programs take their time to end. */
const LINGER_MS = Number(process.env.PORTKNOCK_TEST_LINGER_MS ?? 60_000);
const OTHERS_MAY_PASS = 0o001;

interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly failures: readonly string[];
}

/** Of a lane that did not come to its end. */
const broken = (name: string, how: string): Counts => ({
  ...{ passed: 0, failed: 1, skipped: 0 },
  failures: [`the lane ${name} did not end as it should: ${how}`],
});

/** Prints what the lanes say, one lane after the other, as early as it can. */
class Screen {
  readonly #texts = LANES.map((): Buffer[] => []);
  readonly #ended = LANES.map(() => false);
  #shown = 0;

  write(lane: number, text: Buffer): void {
    if (lane === this.#shown) process.stdout.write(text);
    else this.#texts[lane]?.push(text);
  }

  end(lane: number): void {
    this.#ended[lane] = true;
    while (this.#ended[this.#shown] === true) {
      this.#shown += 1;
      for (const text of this.#texts[this.#shown]?.splice(0) ?? []) process.stdout.write(text);
    }
  }
}

const screen = new Screen();

/** The first signal that was sent to end this, and what is passed on to whom. */
let stopped = null as NodeJS.Signals | null;
const running = new Set<ChildProcess>();

/** What mocha made goes in its hooks: the tests that are running end first. Who cannot wait says so a second time. */
function stop(signal: NodeJS.Signals): void {
  const again = stopped !== null;
  stopped ??= signal;
  const now = again ? 'at once' : 'after the running tests and their hooks (once more: at once)';
  console.error(`\nrun: ends by ${signal}, ${now}`);
  for (const child of running) signalTo(child, again ? 'SIGKILL' : 'SIGINT');
}

/** To mocha alone, so that it can take the others away; but SIGKILL to all. */
function signalTo({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(signal === 'SIGKILL' ? -pid : pid, signal);
  } catch {
    // It has ended.
  }
}

/** In a session of its own: Ctrl-C is passed on by `stop`, and reaches no daemon of a test before its hooks do. */
async function ended(child: ChildProcess): Promise<number | NodeJS.Signals> {
  running.add(child);
  const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null];
  running.delete(child);
  return code ?? signal ?? 1;
}

/** Whether something holds the output of a lane that has ended: nobody else would end it. */
async function isHeld(child: ChildProcess, closed: Promise<unknown>): Promise<boolean> {
  let held = false;
  const late = setTimeout(() => {
    held = true;
    signalTo(child, 'SIGKILL');
    child.stdout?.destroy();
    child.stderr?.destroy();
  }, LINGER_MS);
  await closed;
  clearTimeout(late);
  return held;
}

async function run(index: number, { name, files, except = [] }: Lane): Promise<Counts> {
  const began = performance.now();
  const counts = join(folder, `${index}.json`);
  const mocha = ['--import=tsx', realpathSync(MOCHA), '--reporter', 'test/support/reporter.cjs'];
  const args = [...mocha, ...except.flatMap((pattern) => ['--exclude', pattern]), ...files];
  const child = spawn(process.execPath, args, {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PORTKNOCK_TEST_COUNTS: counts, PORTKNOCK_TEST_LANE: `${index}/${LANES.length}` },
  });
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (text: Buffer) => {
      screen.write(index, text);
    });
  const closed = once(child, 'close');
  const how = await ended(child);
  const held = await isHeld(child, closed);
  const seconds = Math.round((performance.now() - began) / 1000);
  screen.write(index, Buffer.from(`=== ${name}: ${seconds} s\n`));
  screen.end(index);
  if (held) return broken(name, 'it left a process behind that holds its output');
  try {
    const found = JSON.parse(readFileSync(counts, 'utf8')) as Counts;
    if (found.passed + found.failed + found.skipped === 0) return broken(name, 'no test ran');
    return how === 0 || found.failed > 0 ? found : broken(name, `exit status ${how}`);
  } catch {
    return broken(name, `no counts, exit status ${how}`);
  }
}

/** What a service of systemd does not see of the host, or another than the host's. */
const NOT_FOR_SERVICES = /^\/(?:home|root|run|tmp|var\/lib|var\/tmp)\//u;

/**
 * Whether users of few rights, or a service, do not get to this tree: some tests run our programs so. Nobody's business
 * unless we are root, who alone can be somebody else.
 */
function isHidden(): boolean {
  if (process.getuid?.() !== 0) return false;
  if (NOT_FOR_SERVICES.test(`${process.cwd()}/`)) return true;
  for (let place = process.cwd(); ; place = dirname(place)) {
    if ((statSync(place).mode & OTHERS_MAY_PASS) === 0) return true;
    if (place === dirname(place)) return false;
  }
}

/** All of it again, where this tree is seen at a place that everybody can enter: by its own processes, and by no others. */
async function runShown(): Promise<number> {
  const tree = process.cwd();
  const { mode } = statSync(tree);
  const script = 'mount --bind "$1" "$2" && cd "$2" && shift 2 && exec "$@"';
  const self = [process.execPath, ...process.execArgv, 'test/run.ts'];
  chmodSync(tree, (mode & 0o777) | 0o055);
  // Its packages may be a link to what this would cover.
  const place = realpathSync('node_modules').startsWith('/mnt/') ? '/media' : '/mnt';
  try {
    const args = ['--mount', 'sh', '-c', script, 'sh', tree, place, ...self];
    const code = await ended(spawn('unshare', args, { stdio: 'inherit', detached: true }));
    return typeof code === 'number' ? code : 1;
  } finally {
    chmodSync(tree, mode & 0o777);
  }
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
if (isHidden()) process.exit(await runShown());
const folder = mkdtempSync(join(tmpdir(), 'portknock-test-'));
await mochaGlobalSetup();
const waiting = [...LANES.entries()];
const found: Counts[] = [];
await Promise.all(
  Array.from({ length: AT_A_TIME }, async () => {
    for (let next = waiting.shift(); next !== undefined && stopped === null; next = waiting.shift())
      found.push(await run(...next));
  }),
);
rmSync(folder, { recursive: true });
if (stopped !== null) found.push({ ...broken('all', ''), failures: [`stopped by ${stopped}`] });

const sum = (of: (counts: Counts) => number): number => found.reduce((all, one) => all + of(one), 0);
const totals: Counts = {
  passed: sum(({ passed }) => passed),
  failed: sum(({ failed }) => failed),
  skipped: sum(({ skipped }) => skipped),
  failures: found.flatMap(({ failures }) => failures),
};
const { PORTKNOCK_TEST_COUNTS: file } = process.env;
if (file !== undefined) writeFileSync(file, JSON.stringify(totals));
for (const failure of totals.failures) console.log(`\nfailed test: ${failure}`);
console.log(`\n${totals.passed} passing, ${totals.failed} failing, ${totals.skipped} pending`);
process.exitCode = totals.failed === 0 ? 0 : 1;
