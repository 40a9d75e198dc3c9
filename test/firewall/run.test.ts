// How programs are started: as an argv, in a clean environment, for a limited time (attacks 22 and 23).

import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '../../lib/firewall/run.ts';

const NODE = process.execPath;
/** Runs a line of JavaScript as a program. */
const script = (code: string, ...args: readonly string[]): [string, string[]] => [
  NODE,
  ['-e', code, '--', ...args],
];

describe('run', () => {
  let folder = '';
  before(() => (folder = mkdtempSync(join(tmpdir(), 'portknock-run-'))));
  after(() => rmSync(folder, { recursive: true }));

  it('gives back what the program printed', async () => {
    assert.equal(await run(...script('process.stdout.write("a\\nb\\u00e9")')), 'a\nbé');
    assert.equal(await run('true', []), '');
  });

  it('hands the program its input', async () => {
    const input = 'COMMIT\n'.repeat(100_000);
    assert.equal(await run('cat', [], { input }), input);
    assert.equal(await run('cat', []), '');
  });

  it('judges a program that does not read its input by its exit status', async () => {
    assert.equal(await run('true', [], { input: 'x'.repeat(1_000_000) }), '');
  });

  it('says that a program is missing, and which package has it', async () => {
    await assert.rejects(run('portknock-no-such-program', []), {
      code: 'ERR_FIREWALL_MISSING',
      message: 'portknock-no-such-program is not installed (install the Debian package iptables)',
    });
  });

  it('says why a program failed: its first line, on one line, or else its exit status', async () => {
    const complaint = 'console.error("\\n\\nline 3 failed\\x1b[31m\\nmore"); process.exit(2)';
    await assert.rejects(run(...script(complaint)), {
      code: 'ERR_FIREWALL_COMMAND',
      message: `${NODE} failed: line 3 failed\\u{1b}[31m`,
    });
    await assert.rejects(run('false', []), {
      code: 'ERR_FIREWALL_COMMAND',
      message: 'false failed: exit status 1',
    });
  });

  for (const text of ['Permission denied (you must be root)', 'iptables: Operation not permitted']) {
    it(`says what to do about "${text}"`, async () => {
      await assert.rejects(run(...script(`console.error(${JSON.stringify(text)}); process.exit(4)`)), {
        code: 'ERR_FIREWALL_PERMISSION',
        message: /\(run as root\)$/u,
      });
    });
  }

  it('says that a file is no program', async () => {
    const file = join(folder, 'text');
    writeFileSync(file, 'hello');
    await assert.rejects(run(file, []), { code: 'ERR_FIREWALL_COMMAND', message: /cannot be started: / });
  });

  it('uses no shell: what would be a command stays text', async () => {
    const mark = join(folder, 'touched');
    const args = [
      `$(touch ${mark})`,
      `\`touch ${mark}\``,
      `; touch ${mark}`,
      `| touch ${mark}`,
      '*',
      '$HOME',
      '%IP%',
      '',
    ];
    const code = 'console.log(JSON.stringify(process.argv.slice(1)))';
    assert.deepEqual(JSON.parse(await run(...script(code, ...args))), args);
    assert.equal(existsSync(mark), false);
  });

  it('hands on PATH and nothing else of the environment', async () => {
    process.env.PORTKNOCK_TEST_SECRET = 'x';
    try {
      const env = JSON.parse(await run(...script('console.log(JSON.stringify(process.env))'))) as object;
      // Node itself hands on where coverage goes.
      assert.deepEqual(
        { ...env, NODE_V8_COVERAGE: '' },
        { PATH: process.env.PATH, LC_ALL: 'C', NODE_V8_COVERAGE: '' },
      );
    } finally {
      delete process.env.PORTKNOCK_TEST_SECRET;
    }
  });

  it('hands on no open files but the three', async () => {
    const code =
      'console.log(fs.readdirSync("/proc/self/fd").filter((fd) => { try { return fs.readlinkSync(`/proc/self/fd/${fd}`).includes("portknock-run-"); } catch { return false; } }).length)';
    const { openSync, closeSync } = await import('node:fs');
    const file = openSync(join(folder, 'secret'), 'w');
    assert.equal((await run(...script(code))).trim(), '0');
    closeSync(file);
  });

  it('kills a program that takes too long, and says so', async () => {
    const before = performance.now();
    await assert.rejects(run('sleep', ['600'], { timeoutMs: 100 }), {
      code: 'ERR_FIREWALL_COMMAND',
      message: 'sleep failed: no answer within 100 ms',
    });
    assert.ok(performance.now() - before < 40_000);
  });

  it('does not wait for what a killed program leaves behind', async () => {
    const before = performance.now();
    await assert.rejects(
      run('/bin/sh', ['-c', 'sleep 600; true'], { timeoutMs: 100 }),
      /no answer within 100 ms/u,
    );
    assert.ok(performance.now() - before < 40_000);
  });

  it('says so when something else killed it', async () => {
    await assert.rejects(run('/bin/sh', ['-c', 'kill -TERM $$']), {
      message: '/bin/sh failed: killed by SIGTERM',
    });
  });

  it('keeps what a program prints within bounds', async () => {
    const text = await run(...script('for (let i = 0; i < 40; i += 1) fs.writeSync(1, "x".repeat(1 << 20))'));
    assert.ok(text.length > 8 * 1024 * 1024 && text.length <= 16 * 1024 * 1024, String(text.length));
  });
});
