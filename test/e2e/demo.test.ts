// The demo from outside: as root, as an ordinary user, on loopback, interrupted, and when a step goes wrong. Whatever
// happens, its exit status tells the truth and nothing is left behind.

import assert from 'node:assert/strict';
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Suite } from 'mocha';
import { finished, type Finished } from '../support/netns.ts';
import { until } from './support.ts';

const NOBODY = 65534;
const DEMO = ['--import', 'tsx', 'examples/demo/demo.ts'];
const REAL = [
  /^ {4}\| 22\/tcp open +ssh$/mu,
  /All 65535 scanned ports on 10\.77\.0\.1 are in ignored states/u,
  /Not shown: 65535 filtered tcp ports/u,
  /ssh: connect to host 10\.77\.0\.1 port 22: Connection timed out/u,
  /portknockd: grant service=ssh source=10\.77\.0\.2 client=laptop/u,
  /^ {4}\| I am demo$/mu,
];
const EVERYWHERE = [
  /^ {4}\| knocked at \S+ \(5 packets\)$/mu,
  /; 5 packets recorded \(/u,
  /: close reason=used$/mu,
  /^ {4}ok: one knock, one connection/mu,
  /: reject reason=replayed source=/u,
  /: close reason=expired$/mu,
  /^ {4}ok: the opening closed by itself after \d+\.\d s/mu,
  /\nEvery step did what it should, in \d+\.\d s\.\n$/u,
];

const isRoot = process.getuid?.() === 0;

describe('the demo', function () {
  this.timeout(180_000);
  let folder: string;
  let mark: string;
  let marked: NodeJS.ProcessEnv;
  let others: ReadonlySet<string>;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'portknock-demo-test-'));
    chmodSync(folder, 0o755);
    mkdirSync(join(folder, 'home'));
    mkdirSync(join(folder, 'bin'));
    others = new Set(daemons());
    mark = `PORTKNOCK_TEST_MARK=${randomUUID()}`;
    const home = join(folder, 'home');
    marked = { ...process.env, PORTKNOCK_TEST_MARK: mark.split('=')[1], HOME: home, TMPDIR: home };
  });

  afterEach(async () => {
    // Those that held its namespaces end when it has ended.
    const running = (): readonly string[] => [
      ...processesWith('environ', mark),
      ...daemons().filter((pid) => !others.has(pid)),
    ];
    await until('nothing of the demo runs', () => running().length === 0);
    // Only what the demo made counts: tsx keeps its cache there.
    const left = readdirSync(join(folder, 'home')).filter((name) => !name.startsWith('tsx-'));
    rmSync(folder, { recursive: true });
    assert.deepEqual(left, []);
  });

  const start = (env: NodeJS.ProcessEnv = {}): ChildProcess =>
    spawn(process.execPath, DEMO, { env: { ...marked, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  /** A program that stands before the real one. */
  const fake = (name: string, script: string): NodeJS.ProcessEnv => {
    writeFileSync(join(folder, 'bin', name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    return { PATH: `${join(folder, 'bin')}:${process.env.PATH ?? ''}` };
  };

  describe('as root', function () {
    needs(this, isRoot ? faultOf('unshare', ['-nm', 'true']) : 'not root');

    it('tells the whole story with real namespaces, and leaves the host as it was', async () => {
      const before = hostState();
      const result = await finished(start());
      assertStory(result, [...REAL, ...EVERYWHERE]);
      assert.match(result.stdout, /^portknock demo, as root: /u);
      assert.deepEqual(hostState(), before);
    });

    it('fails when a step does not do what it should, and says what was expected', async () => {
      const result = await finished(start(fake('ssh', 'echo "I am demo"')));
      assert.equal(result.status, 1, result.stderr);
      const said = result.stdout.replaceAll(/\n +/gu, ' ');
      assert.match(
        said,
        /FAILED after \S+ s: expected ssh to be refused without a knock; the connection was admitted/u,
      );
      assert.match(said, /\nThe demo failed\. What it had started has been ended\.\n$/u);
      assert.doesNotMatch(said, /Every step/u);
    });

    for (const [signal, code] of [
      ['SIGINT', 130],
      ['SIGTERM', 143],
    ] as const) {
      it(`cleans up after ${signal}`, async () => {
        const demo = start();
        await says(demo, /^\[3\]/mu);
        demo.kill(signal);
        const [status] = (await once(demo, 'exit')) as [number];
        assert.equal(status, code);
      });
    }
  });

  describe('as an ordinary user', function () {
    const asNobody = ['--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups'];
    needs(
      this,
      isRoot
        ? faultOf('setpriv', [...asNobody, 'unshare', '-rnm', 'true'])
        : faultOf('unshare', ['-rnm', 'true']),
    );

    it('tells the whole story in a user namespace', async () => {
      assertStory(await finished(isRoot ? startAsNobody() : start()), [
        /^portknock demo, without root: /u,
        ...REAL,
        ...EVERYWHERE,
      ]);
    });

    /** The checkout may be in a folder that others cannot enter, so it is shown to them elsewhere. */
    function startAsNobody(): ChildProcess {
      chownSync(join(folder, 'home'), NOBODY, NOBODY);
      const checkout = join(folder, 'checkout');
      mkdirSync(checkout);
      const script = 'mount --bind "$1" "$2" && cd "$2" && shift 2 && exec setpriv "$@"';
      const words = [resolve('.'), checkout, ...asNobody, process.execPath, ...DEMO];
      return spawn('unshare', ['-m', 'sh', '-c', script, 'sh', ...words], {
        // Coverage would be written where this user may not write.
        env: { ...marked, NODE_V8_COVERAGE: '' },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
    }
  });

  describe('on loopback', () => {
    it('tells the story where namespaces are forbidden, and says why and what is different', async () => {
      const result = await finished(start(fake('unshare', 'echo "unshare: not today" >&2; exit 1')));
      assertStory(result, [/^portknock demo, on loopback\n/u, /^What is different: /mu, ...EVERYWHERE]);
      // Where programs are missing as well, they are the reason.
      assert.match(result.stdout, /^Without network namespaces: (unshare: not today|missing )/mu);
    });

    it('plays there when told to, and cleans up after SIGINT', async () => {
      const demo = start({ PORTKNOCK_DEMO: 'loopback' });
      await says(demo, /^\[3\]/mu);
      demo.kill('SIGINT');
      const [status] = (await once(demo, 'exit')) as [number];
      assert.equal(status, 130);
    });
  });
});

function assertStory({ status, stdout, stderr }: Finished, lines: readonly RegExp[]): void {
  assert.equal(status, 0, stdout + stderr);
  for (const line of lines) assert.match(stdout, line);
  assert.doesNotMatch(stdout, /\u001b/u, 'no colours where there is no terminal');
  const long = stdout.split('\n').filter((line) => line.length > 79);
  assert.deepEqual(long, [], 'lines fit a terminal');
  assert.equal(stderr, '');
}

function needs(suite: Suite, fault: string | null): void {
  if (fault === null) return;
  suite.beforeAll('needs namespaces', function () {
    if (process.env.CI === 'true') throw new Error(`end-to-end tests cannot run: ${fault}`);
    console.log(`    skipped: ${fault}`);
    this.skip();
  });
}

function faultOf(program: string, args: readonly string[]): string | null {
  const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  return error === undefined && status === 0 ? null : (error?.message ?? stderr.trim());
}

/** Resolves when its standard output matches. */
function says(child: ChildProcess, words: RegExp): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      if (words.test(said)) resolve();
    });
    child.once('exit', () => reject(new Error(`the demo ended: ${said}`)));
  });
}

/** The demo's sshd writes its title over its environment, mark and all. */
function daemons(): string[] {
  return processesWith('cmdline', '/run/portknock-demo/');
}

function processesWith(file: 'environ' | 'cmdline', text: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return Number(pid) !== process.pid && readFileSync(`/proc/${pid}/${file}`, 'latin1').includes(text);
    } catch {
      return false;
    }
  });
}

/** Links, mounts and rules of this host. */
function hostState(): string[] {
  const rules = spawnSync('iptables-nft-save', { encoding: 'utf8' }).stdout.replaceAll(/^#.*\n/gmu, '');
  return [
    spawnSync('ip', ['-br', 'link'], { encoding: 'utf8' }).stdout,
    readFileSync('/proc/self/mounts', 'utf8'),
    rules.replaceAll(/\[\d+:\d+\]/gu, ''),
  ];
}
