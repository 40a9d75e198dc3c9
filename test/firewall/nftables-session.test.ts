// How nft is talked to: against stand-ins that answer as nft 1.0.6 does on a pipe, echo what they read as others do, or
// die, hang and babble. The real one is in test/e2e.

import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NftSession } from '../../lib/firewall/nftables-session.ts';

/** Reads lines and answers: the words of a line say what it does. */
const STAND_IN = `#!/bin/sh
folder=$(dirname "$0")
echo "$*" >> "$folder/started"
prompt() { [ -e "$folder/echoes" ] && printf 'nft> %s\\n' "$1"; }
prompt ''
answer() {
  case "$1" in
    add*) ;;
    list*) printf 'table inet x {\\n\\tset %s {\\n\\t}\\n}\\n' "$1" ;;
    fail*) printf 'Error: Could not process rule: No such file\\033[31m\\n%s\\n     ^^^\\n' "$1" >&2; return 1 ;;
    long*) printf 'Error: it is long\\n' >&2; head -c 300000 /dev/zero | tr '\\0' x >&2; printf '\\n' >&2; return 1 ;;
    big*) head -c 20000000 /dev/zero | tr '\\0' x ;;
    warn*) printf 'Warning: so what\\n' >&2 ;;
    die*) kill -KILL $$ ;;
    exit*) exit 3 ;;
    hang*) exec sleep 60 ;;
    *) printf 'Error: syntax error, unexpected newline, expecting string\\n%s\\n           ^\\n' "$1" >&2; return 1 ;;
  esac
}
[ "$1" = -i ] && [ -e "$folder/no-dialogue" ] && exit 1
status=0
while read -r line; do prompt "$line"; answer "$line" || status=$?; done
[ "$1" = -i ] || exit $status
`;

describe('NftSession', function () {
  this.timeout(60_000);
  const before = process.env.PATH;
  let folder = '';
  let session = new NftSession();

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'portknock-nft-'));
    writeFileSync(join(folder, 'nft'), STAND_IN, { mode: 0o755 });
    process.env.PATH = `${folder}:${before ?? ''}`;
    session = new NftSession();
  });

  afterEach(() => {
    session.close();
    process.env.PATH = before;
    rmSync(folder, { recursive: true });
  });

  const started = (): string[] => readFileSync(join(folder, 'started'), 'utf8').split('\n').slice(0, -1);
  const say = (name: string): void => {
    writeFileSync(join(folder, name), '');
  };

  for (const echoes of [false, true]) {
    describe(echoes ? 'with one that echoes' : 'with one that is silent', () => {
      beforeEach(() => {
        if (echoes) say('echoes');
      });

      it('starts one program for all requests', async () => {
        for (let i = 0; i < 20; i += 1) assert.equal((await session.ask(['add'])).kind, 'done');
        assert.deepEqual(started(), ['-i']);
      });

      it('gives back what was listed, of this request only, and nothing when nothing was asked', async () => {
        await session.ask(['list a']);
        const answer = await session.ask(['list b', 'add', 'list c']);
        assert.ok(answer.kind === 'done');
        const sets = [...answer.output.matchAll(/^\tset list (\w)/gmu)].map(([, name]) => name);
        assert.deepEqual(sets, ['b', 'c']);
        assert.equal((await session.ask([])).kind, 'done');
      });

      it('says why a line was refused, printable, and goes on', async () => {
        assert.deepEqual(await session.ask(['add', 'fail 1', 'add', 'fail 2']), {
          kind: 'refused',
          complaint: 'Could not process rule: No such file\\u{1b}[31m',
        });
        assert.equal((await session.ask(['add'])).kind, 'done');
        assert.deepEqual(await session.ask(['nonsense']), {
          kind: 'refused',
          complaint: 'syntax error, unexpected newline, expecting string',
        });
        assert.equal((await session.ask(['warn'])).kind, 'done', 'a warning is no refusal');
        assert.deepEqual(started(), ['-i']);
      });
    });
  }

  it('takes a complaint of any length, and keeps a listing within bounds', async () => {
    assert.deepEqual(await session.ask(['long']), { kind: 'refused', complaint: 'it is long' });
    const answer = await session.ask(['big']);
    assert.ok(answer.kind === 'done' && answer.output.length <= 16 * 1024 * 1024);
    assert.equal((await session.ask(['add'])).kind, 'done');
  });

  for (const [line, reason] of [
    ['die', 'nft was killed by SIGKILL'],
    ['exit', 'nft ended with exit status 3'],
  ] as const) {
    it(`does not know what became of a request when "${reason}", and starts another for the next`, async () => {
      await session.ask(['add']);
      const answer = await session.ask(['add', line, 'add']);
      assert.ok(answer.kind === 'lost');
      assert.equal(answer.reason.message, reason);
      assert.equal((await session.ask(['add'])).kind, 'done');
      assert.deepEqual(started(), ['-i', '-i']);
    });
  }

  it('says that a program ended which was not told to, once for many times', async () => {
    const said: string[] = [];
    session.tell((message) => said.push(message));
    await session.ask(['add']);
    session.close();
    for (let i = 0; i < 3; i += 1) await session.ask(['die']);
    const until = performance.now() + 20_000;
    while (said.length === 0 && performance.now() < until) await new Promise(setImmediate);
    assert.match(said.join('\n'), /^nft was killed by SIGKILL: the next change starts another \([^\n]*$/u);
  });

  it('gives a program up that gives no answer', async () => {
    await session.ask(['add']);
    const began = performance.now();
    const answer = await session.ask(['hang']);
    assert.ok(answer.kind === 'lost');
    assert.equal(answer.reason.message, 'nft gave no answer within 5000 ms');
    assert.ok(performance.now() - began < 40_000);
    assert.equal((await session.ask(['add'])).kind, 'done');
  });

  it('starts another when one has heard much', async () => {
    // The stand-in reads them byte by byte.
    const line = `add ${'x'.repeat(250_000)}`;
    for (let i = 0; i < 20; i += 1) assert.equal((await session.ask([line])).kind, 'done');
    assert.deepEqual(started(), ['-i', '-i']);
  });

  it('starts one per line where no program can be kept, and does not try to keep one each time', async () => {
    say('no-dialogue');
    assert.equal((await session.ask(['add'])).kind, 'done');
    const answer = await session.ask(['list a', 'list b']);
    assert.ok(answer.kind === 'done');
    assert.match(answer.output, /list a[^]*list b/u);
    assert.deepEqual(await session.ask(['fail']), {
      kind: 'refused',
      complaint: 'Could not process rule: No such file\\u{1b}[31m',
    });
    assert.equal((await session.ask(['die'])).kind, 'lost');
    assert.deepEqual(started(), ['-i', '-f -', '-f -', '-f -', '-f -', '-f -']);
  });

  it('says that nft is missing', async () => {
    process.env.PATH = join(folder, 'nothing');
    await assert.rejects(session.ask(['add']), {
      code: 'ERR_FIREWALL_MISSING',
      message: 'nft is not installed (install the Debian package nftables)',
    });
  });
});
