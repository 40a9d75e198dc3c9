// What README.md shows is run as it stands there, against the installed package, so that it cannot rot.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { generateSshKey } from '../../lib/crypto/ssh-key.ts';
import { installed, runIn, runText, typeCheck } from './installed.ts';

const README = readFileSync('README.md', 'utf8');
const ACCESS_KEY = Buffer.alloc(32, 9).toString('base64');

describe('the README', function () {
  this.timeout(180_000);

  it('names its programs, and every JavaScript block is one of them', () => {
    assert.deepEqual([...programs().keys()], ['embed.mjs', 'knock.mjs']);
    assert.equal([...README.matchAll(/^```(js|ts)$/gmu)].length, programs().size);
  });

  it('shows programs of at most fifteen lines', () => {
    for (const [name, text] of programs()) assert.ok(text.trim().split('\n').length <= 15, name);
  });

  it('shows a listener that opens for the knocker that it shows', async () => {
    const { folder } = await installed();
    await writeFile(join(folder, 'embed.mjs'), program('embed.mjs'));
    const { privateText, publicLine } = generateSshKey('alice@laptop');
    await writeFile(join(folder, 'alice'), privateText, { mode: 0o600 });
    const keys = { ACCESS_KEY, ALICE_KEY: publicLine };
    const env = { ...process.env, NODE_V8_COVERAGE: '', NODE_OPTIONS: '', ...keys };
    const listener = spawn(process.execPath, ['embed.mjs'], {
      cwd: folder,
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      const lines = linesOf(listener.stdout);
      assert.equal(await lines(), 'listening');
      const knock = await runText('knock.mjs', program('knock.mjs'), keys);
      assert.deepEqual([knock.code, knock.stdout], [0, '1 packet sent to 127.0.0.1\n'], knock.stderr);
      assert.equal(await lines(), 'alice may connect to port 22');
    } finally {
      listener.kill('SIGKILL');
      if (listener.exitCode === null && listener.signalCode === null) await once(listener, 'exit');
    }
  });

  it('shows programs that agree with the types', async () => {
    const files = Object.fromEntries(programs());
    const ran = await typeCheck(files, [
      '--allowJs',
      '--checkJs',
      '--strict',
      'false',
      '--module',
      'node16',
      '--types',
      'node',
    ]);
    assert.deepEqual([ran.code, ran.stdout], [0, '']);
  });

  it('shows commands that set up a gateway and a client', async () => {
    const { folder } = await installed();
    const work = await mkdtemp(join(folder, 'gateway-'));
    try {
      await writeFile(join(work, 'alice.pub'), generateSshKey('alice@laptop').publicLine);
      const harmless = commands().filter((each) => / init | add-client | --check$/u.test(each));
      assert.equal(harmless.length, 3);
      for (const command of harmless) {
        const [name = '', ...args] = command.split(' ');
        // Not into this host's /etc.
        const place =
          args[0] === 'init'
            ? ['--dir', work, '--user', 'root']
            : ['--config', join(work, 'portknockd.yaml')];
        const ran = await runIn(work, join(folder, 'node_modules/.bin', name), [...args, ...place]);
        assert.equal(ran.code, 0, `${command}: ${ran.stderr}`);
      }
      assert.ok(existsSync(join(work, 'alice.knock')));
    } finally {
      await rm(work, { recursive: true });
    }
  });

  it('names only npm scripts and files that exist', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as {
      scripts: Record<string, string>;
    };
    const named = [...README.matchAll(/npm run ([\w:]+)/gu)].map(([, name]) => name ?? '');
    assert.ok(named.length >= 3);
    assert.deepEqual(
      named.filter((name) => !(name in scripts)),
      [],
    );
    const links = [...README.matchAll(/\]\((?!https?:)([^)#]+)\)/gu)].map(([, link]) => link ?? '');
    assert.ok(links.length >= 3);
    assert.deepEqual(
      links.filter((link) => !existsSync(link)),
      [],
    );
  });
});

/** JavaScript blocks by the name that the comment above them gives. */
function programs(): Map<string, string> {
  const blocks = README.matchAll(/^<!-- file: (\S+) -->\n\n```js\n([^]*?)^```$/gmu);
  return new Map([...blocks].map(([, name, text]) => [name ?? '', text ?? '']));
}

function program(name: string): string {
  return programs().get(name) ?? assert.fail(`README.md has no ${name}`);
}

/** Lines of the shell blocks that run our programs, without their comments. */
function commands(): string[] {
  const blocks = [...README.matchAll(/^ *```sh\n([^]*?)^ *```$/gmu)].flatMap(([, text]) =>
    (text ?? '').split('\n'),
  );
  return blocks
    .map((line) => line.replace(/ +# .*$/u, '').trim())
    .filter((line) => /^portknockd? /u.test(line));
}

function linesOf(stream: NodeJS.ReadableStream): () => Promise<string> {
  const iterator = (async function* () {
    let rest = '';
    for await (const chunk of stream) {
      const parts = `${rest}${String(chunk)}`.split('\n');
      rest = parts.pop() ?? '';
      yield* parts;
    }
  })();
  return async () => (await iterator.next()).value ?? '';
}
