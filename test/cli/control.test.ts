// The control socket: who may open it, what it takes and answers, what happens to one that was left behind.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { askDaemon } from '../../cli/control-client.ts';
import { controlPath, openControl, type Commands } from '../../cli/control.ts';
import { FLAG, GRANT_ID } from '../../cli/requests.ts';
import type { Clock } from '../../lib/knocker.ts';

const BAD_ID = 'id of revoke must be 4 to 64 of a-z and 0-9';
const TEXT = { rule: 'text', fits: (value: unknown) => typeof value === 'string' };

const COMMANDS: Commands = {
  reload: { takes: {}, run: () => ({ ok: true, clients: 3 }) },
  echo: { takes: { text: TEXT, all: FLAG }, run: ({ text }) => Promise.resolve({ ok: true, text }) },
  revoke: { takes: { id: GRANT_ID }, run: ({ id }) => ({ ok: true, id }) },
  refuse: { takes: {}, run: () => ({ ok: false, message: 'a.yaml:1:2: no' }) },
  list: { takes: {}, run: () => ({ ok: true, rows: [{ a: 1 }, { a: 'ü' }], more: 'x' }) },
  throws: { takes: {}, run: () => Promise.reject(new Error('it broke')) },
};

/** A clock that a test moves in the midst of what is going on; a process that stands still does not. */
class HandClock implements Clock {
  readonly #timers = new Map<() => void, number>();
  #nowMs = 0;

  /** Timers that may still run. */
  get waiting(): number {
    return this.#timers.size;
  }

  now(): number {
    return this.#nowMs;
  }

  after(ms: number, run: () => void): () => void {
    const timer = (): void => {
      this.#timers.delete(timer);
      run();
    };
    this.#timers.set(timer, this.#nowMs + ms);
    return () => {
      this.#timers.delete(timer);
    };
  }

  pass(ms: number): void {
    this.#nowMs += ms;
    for (const [timer, atMs] of [...this.#timers]) if (atMs <= this.#nowMs) timer();
  }
}

describe('the control socket', () => {
  let folder: string;
  let path: string;
  let close: () => Promise<void>;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'portknock-control-'));
    path = controlPath(folder);
    close = await openControl({ path, commands: COMMANDS });
  });

  afterEach(async () => {
    await close();
    await rm(folder, { recursive: true });
  });

  it('is for its owner only, and gone after the end', async () => {
    assert.equal(path, join(folder, 'portknockd.sock'));
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    await writeFile(join(folder, 'later'), '', { mode: 0o644 });
    assert.notEqual((await stat(join(folder, 'later'))).mode & 0o777, 0o600);
    await close();
    await assert.rejects(stat(path), { code: 'ENOENT' });
    assert.equal(await askDaemon(folder, { command: 'reload' }), null);
  });

  it('answers a request with what its command says', async () => {
    assert.deepEqual(await askDaemon(folder, { command: 'reload' }), { ok: true, clients: 3 });
    assert.deepEqual(await askDaemon(folder, { command: 'echo', text: 'ü\n' }), { ok: true, text: 'ü\n' });
    assert.deepEqual(await askDaemon(folder, { command: 'refuse' }), {
      ok: false,
      message: 'a.yaml:1:2: no',
    });
    assert.deepEqual(await askDaemon(folder, { command: 'throws' }), { ok: false, message: 'it broke' });
    assert.deepEqual(await askDaemon(folder, { command: 'list' }), {
      ...{ ok: true, more: 'x' },
      rows: [{ a: 1 }, { a: 'ü' }],
    });
  });

  it('lets others have their turn during a long answer, which may take longer than a peer may', async () => {
    await close();
    let [turn, made, most] = [0, 0, 0];
    const clock = new HandClock();
    function* rows(): Generator<number> {
      let [last, inTurn] = [-1, 0];
      for (; made < 2000; made += 1) {
        inTurn = turn === last ? inTurn + 1 : 1;
        [last, most] = [turn, Math.max(most, inTurn)];
        clock.pass(1);
        yield made;
      }
    }
    const commands: Commands = { list: { takes: {}, run: () => ({ ok: true, rows: rows() }) } };
    close = await openControl({ path, commands, idleMs: 200, clock });
    let others: NodeJS.Immediate;
    const count = (): void => {
      turn += 1;
      others = setImmediate(count);
    };
    count();
    const answer = await askDaemon(folder, { command: 'list' }).finally(() => {
      clearImmediate(others);
    });
    assert.equal((answer as { rows?: unknown[] } | null)?.rows?.length, 2000);
    assert.ok(most <= 64, `${most} rows were made while nobody else had a turn`);
  });

  const requests: readonly [what: string, text: string, answer: string][] = [
    [
      'a command that is not known',
      '{"command":"open"}\n',
      `{"ok":false,"message":"command is not known: 'open'"}\n`,
    ],
    [
      'a command of the language',
      '{"command":"constructor"}\n',
      `{"ok":false,"message":"command is not known: 'constructor'"}\n`,
    ],
    ['no JSON', 'reload\n', '{"ok":false,"message":"request is not a line of JSON with a command"}\n'],
    [
      'JSON without a command',
      '[]\n',
      '{"ok":false,"message":"request is not a line of JSON with a command"}\n',
    ],
    ['null', 'null\n', '{"ok":false,"message":"request is not a line of JSON with a command"}\n'],
    ['a long line', 'x'.repeat(5000), '{"ok":false,"message":"request is longer than 4096 bytes"}\n'],
    ['nothing', '', ''],
    ['half a line', '{"command":', ''],
    ['a field too many', '{"command":"reload","force":1}\n', refusal("reload takes no 'force'")],
    [
      'a field of the language',
      '{"command":"reload","__proto__":1}\n',
      refusal("reload takes no '__proto__'"),
    ],
    ['a field too few', '{"command":"echo"}\n', refusal('text of echo is missing')],
    ['a field of another type', '{"command":"echo","text":["a"]}\n', refusal('text of echo must be text')],
    ['nothing in a field', '{"command":"echo","text":null}\n', refusal('text of echo must be text')],
    [
      'no flag where one may be',
      '{"command":"echo","text":"a","all":"yes"}\n',
      refusal('all of echo must be true or false'),
    ],
    ['a short id', '{"command":"revoke","id":"abc"}\n', refusal(BAD_ID)],
    ['a long id', `{"command":"revoke","id":"${'a'.repeat(65)}"}\n`, refusal(BAD_ID)],
    ['an id that is none', '{"command":"revoke","id":"abcd\\n"}\n', refusal(BAD_ID)],
    ['an id', '{"command":"revoke","id":"abcd"}\n', '{"ok":true,"id":"abcd"}\n'],
    ['more behind the line', '{"command":"reload"}\n{"command":"refuse"}\n', '{"ok":true,"clients":3}\n'],
  ];
  for (const [what, text, answer] of requests) {
    it(`answers ${what}, and lives on`, async () => {
      assert.equal(await said(path, text), answer);
      assert.deepEqual(await askDaemon(folder, { command: 'reload' }), { ok: true, clients: 3 });
    });
  }

  it('hangs up on a peer that says nothing, or does not listen to the end', async () => {
    await close();
    const clock = new HandClock();
    close = await openControl({ path, commands: COMMANDS, idleMs: 30, clock });
    for (const text of ['', '{"command":"reload"}\n']) {
      const socket = connect({ path, allowHalfOpen: true });
      const ended = once(socket.resume(), 'end');
      socket.write(text);
      // Not before it has answered.
      if (text !== '') await ended;
      while (clock.waiting === 0) await new Promise(setImmediate);
      clock.pass(29);
      assert.equal(socket.readableEnded, text !== '');
      clock.pass(1);
      await ended;
      // Our end stays open, and theirs is gone all the same.
      const noise = setInterval(() => socket.write('x'), 5);
      const error = await new Promise<NodeJS.ErrnoException>((resolve) => {
        socket.on('error', resolve);
      });
      clearInterval(noise);
      assert.equal(error.code, 'EPIPE');
    }
  });

  it('is refused to a second daemon while the first lives', async () => {
    await assert.rejects(openControl({ path, commands: COMMANDS }), {
      code: 'ERR_EXISTS',
      message: `another portknockd uses this state directory: ${path} (stop it, or give each its own)`,
    });
    assert.deepEqual(await askDaemon(folder, { command: 'reload' }), { ok: true, clients: 3 });
  });

  it('that a killed daemon left is replaced', async () => {
    await close();
    const script = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => console.log('ready'))`;
    const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    await once(child, 'close');
    assert.ok((await stat(path)).isSocket());
    assert.equal(await askDaemon(folder, { command: 'reload' }), null);
    close = await openControl({ path, commands: COMMANDS });
    assert.deepEqual(await askDaemon(folder, { command: 'reload' }), { ok: true, clients: 3 });
  });

  it('never takes the place of a file', async () => {
    await close();
    await writeFile(path, 'precious');
    await assert.rejects(openControl({ path, commands: COMMANDS }), {
      code: 'ERR_WRITE',
      message: /something else is there/u,
    });
    assert.equal((await stat(path)).size, 8);
  });

  it('is refused where its name would be cut off', async () => {
    const long = join(folder, 'x'.repeat(120));
    await assert.rejects(openControl({ path: controlPath(long), commands: COMMANDS }), {
      code: 'ERR_WRITE',
      message: /its path is longer than 107 bytes \(use a shorter state_dir\)$/u,
    });
  });

  it('that hangs up or babbles is a failure for whoever asks', async () => {
    await close();
    for (const [answer, why] of [
      ['', 'it hung up'],
      ['{"ok":1}\n', 'its answer makes no sense'],
    ] as const) {
      const server = createServer((socket) => socket.resume().end(answer)).listen(path);
      await once(server, 'listening');
      await assert.rejects(askDaemon(folder, { command: 'reload' }), {
        code: 'ERR_SEND',
        message: `portknockd cannot be asked: ${path}: ${why} (see its log)`,
      });
      server.close();
      await once(server, 'close');
    }
  });
});

function refusal(message: string): string {
  return `${JSON.stringify({ ok: false, message })}\n`;
}

async function said(path: string, text: string): Promise<string> {
  const socket = connect({ path, allowHalfOpen: true });
  // What is too long is refused before its end.
  socket.on('error', () => undefined);
  socket.end(text);
  const parts = await socket.setEncoding('utf8').toArray();
  return parts.join('');
}
