// test/run.ts counts a lane that does not come to its end as a failure, and takes away what it started when it is ended
// itself: tried on a small tree of its own, under a folder that it has to show elsewhere first.

import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';

const PASSES = "it('passes', () => undefined);";
/** A file in each lane: one that fits nothing else, a to e, an attack, a page, a unit. */
const LANES = ['e2e/z', 'e2e/a', 'e2e/attacks/a', 'docs/a', 'unit/a'] as const;

describe('npm test', function () {
  this.timeout(300_000);
  let folder: string;
  let tree: string;
  let counts: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'portknock run-'));
    [tree, counts] = [join(folder, 'tree'), join(folder, 'counts')];
    await mkdir(join(tree, 'test/support'), { recursive: true });
    await mkdir(join(folder, 'tmp'));
    for (const name of ['test/run.ts', 'test/support/reporter.cjs', '.mocharc.cjs', 'package.json'])
      await copyFile(name, join(tree, name));
    await writeFile(
      join(tree, 'test/support/programs.ts'),
      'export async function mochaGlobalSetup(): Promise<void> {}\n',
    );
    await symlink(resolve('node_modules'), join(tree, 'node_modules'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const start = async (
    tests: Partial<Record<(typeof LANES)[number], string>>,
    more: NodeJS.ProcessEnv = {},
  ): Promise<ChildProcess> => {
    for (const lane of LANES) {
      const file = join(tree, 'test', `${lane}.test.ts`);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, tests[lane] ?? PASSES);
    }
    await rm(counts, { force: true });
    const env: NodeJS.ProcessEnv = {
      ...process.env,
      PORTKNOCK_TEST_COUNTS: counts,
      TMPDIR: join(folder, 'tmp'),
      ...more,
    };
    delete env.NODE_V8_COVERAGE;
    const stdio = ['ignore', 'pipe', 'pipe'] as const;
    const child = spawn(process.execPath, ['--import', 'tsx', 'test/run.ts'], {
      ...{ cwd: tree, env, stdio: [...stdio] },
    });
    child.stderr?.resume();
    return child;
  };
  const counted = async (): Promise<Record<string, unknown>> =>
    JSON.parse(await readFile(counts, 'utf8')) as Record<string, unknown>;
  /** But for tsx's own cache. */
  const left = (): readonly string[] =>
    readdirSync(join(folder, 'tmp')).filter((name) => !name.startsWith('tsx-'));

  it('adds the lanes up, and is green when all are', async () => {
    const child = await start({});
    child.stdout?.resume();
    assert.deepEqual(await once(child, 'exit'), [0, null]);
    assert.deepEqual(await counted(), { passed: 5, failed: 0, skipped: 0, failures: [] });
    assert.deepEqual(left(), []);
  });

  it('is red for each lane that ends early, is killed, has no test or leaves a process behind', async () => {
    const tests = {
      'e2e/z': `${PASSES} it('leaves', () => process.exit(0));`,
      'e2e/a': "it('is killed', () => process.kill(process.pid, 'SIGKILL'));",
      'e2e/attacks/a': "describe('nothing', () => undefined);",
      'docs/a': `import { spawn } from 'node:child_process';
        it('starts', () => spawn('sleep', ['1000'], { stdio: 'inherit' }).unref());`,
    };
    const child = await start(tests, { PORTKNOCK_TEST_LINGER_MS: '5000' });
    child.stdout?.resume();
    assert.deepEqual(await once(child, 'exit'), [1, null]);
    const { failures, ...totals } = await counted();
    assert.deepEqual(totals, { passed: 1, failed: 4, skipped: 0 });
    const said = (failures as string[]).map((text) => text.replace(/.* should: /u, '')).sort();
    assert.deepEqual(said, [
      'it left a process behind that holds its output',
      'no counts, exit status 0',
      'no counts, exit status SIGKILL',
      'no test ran',
    ]);
  });

  it('lets the running tests clean up when it is ended, starts no other, and leaves nothing', async () => {
    const mark = join(folder, 'mark');
    await chmod(tree, 0o700);
    const child = await start({
      'e2e/z': `import { once } from 'node:events';
        import { writeFileSync } from 'node:fs';
        import { createServer } from 'node:net';
        const server = createServer();
        it('waits', async () => {
          process.on('SIGINT', () => server.close());
          server.listen(0, '127.0.0.1');
          console.log('it waits');
          await once(server, 'close');
        });
        it('is not begun', () => writeFileSync('${mark}.second', ''));
        after(() => writeFileSync('${mark}', ''));`,
    });
    for await (const line of createInterface(child.stdout!)) if (line === 'it waits') child.kill('SIGTERM');
    const [code] = (await once(child, 'close')) as [number | null];
    assert.equal(code, 1);
    assert.ok(existsSync(mark));
    assert.ok(!existsSync(`${mark}.second`));
    assert.match(String((await counted()).failures), /stopped by SIG/u);
    assert.equal((await stat(tree)).mode & 0o777, 0o700);
    assert.deepEqual(left(), []);
  });
});
