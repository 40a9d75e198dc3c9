// Every program that a page shows agrees with the types of the packed package, and is run as it stands there.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { transform } from 'esbuild';
import { generateSshKey } from '../../lib/crypto/ssh-key.ts';
import { installed, runIn, typeCheck } from '../consumer/installed.ts';
import { freePort } from '../support/ports.ts';
import { pcap } from '../support/savefile.ts';
import { sshKeygen, startSshAgent } from '../support/ssh-tools.ts';
import { allPages, blocksOf, placeOf, type Block } from './blocks.ts';
import { commandsOf } from './stage.ts';

const OWN = 'test/docs/programs.test.ts';
const EXAMPLES = 'test/consumer/examples.test.ts';
const GATE = 'test/consumer/gate-page.test.ts';
const RECIPES = 'test/consumer/recipes.test.ts';
/** Which test runs a program. */
const RUN_BY: Readonly<Record<string, string>> = {
  ...{ 'embed.mjs': OWN, 'knock.mjs': OWN, 'explain.ts': OWN, 'signing.mjs': OWN, 'watched.ts': OWN },
  ...{ 'gate-admin.mjs': GATE, 'gate-servers.mjs': GATE, 'suite.mjs': EXAMPLES },
  ...{ 'with-http.mjs': RECIPES, 'with-undici.mjs': RECIPES },
};

const PROGRAMS = allPages()
  .flatMap((page) => blocksOf(page))
  .filter(({ language }) => ['js', 'ts', 'mjs', 'javascript', 'typescript'].includes(language));

describe('the programs of the pages', function () {
  this.timeout(300_000);

  it('have a name and a test that runs them', () => {
    assert.ok(PROGRAMS.length >= 6);
    for (const program of PROGRAMS) {
      assert.ok(program.file !== null, `${placeOf(program)}: say <!-- file: NAME --> above it`);
      const test = RUN_BY[program.file];
      assert.ok(test !== undefined, `${placeOf(program)}: nothing runs it`);
      assert.ok(readFileSync(test, 'utf8').includes(program.file), `${test} does not run ${program.file}`);
    }
    assert.equal(new Set(PROGRAMS.map(({ file }) => file)).size, PROGRAMS.length, 'names are used once');
  });

  it('are of at most fifteen lines in the README', () => {
    for (const { page, text, file } of PROGRAMS) {
      if (page === 'README.md') assert.ok(text.trim().split('\n').length <= 15, String(file));
    }
  });

  it('agree with the types', async () => {
    const { folder } = await installed();
    await Promise.all(['undici', 'express', 'fastify', 'prom-client'].map((name) => lend(folder, name)));
    const files = Object.fromEntries(PROGRAMS.map(({ file, text }) => [file ?? '', text]));
    const loose = ['--allowJs', '--checkJs', '--strict', 'false', '--noImplicitAny', 'false'];
    const ran = await typeCheck(files, [...loose, '--module', 'node16', '--skipLibCheck', '--types', 'node']);
    assert.deepEqual([ran.code, ran.stdout], [0, '']);
  });

  it('open for each other, after the commands of the README', async () => {
    const { folder } = await installed();
    const work = await mkdtemp(join(folder, 'readme-'));
    for (const name of ['embed.mjs', 'knock.mjs']) await writeFile(join(work, name), program(name).text);
    const [block] = blocksOf('README.md').filter(({ text }) => text.startsWith('ssh-keygen'));
    const commands = commandsOf(block?.text ?? '');
    const background = commands.findIndex((line) => /^node embed\.mjs &$/u.test(line));
    assert.equal(background, commands.length - 2);
    const inherited = Object.entries(process.env).filter(([name]) => !/^(NODE_|npm_|PORTKNOCK_)/u.test(name));
    const shell = spawn('bash', ['-e'], {
      cwd: work,
      env: Object.fromEntries(inherited),
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    try {
      const lines = createInterface({ input: shell.stdout })[Symbol.asyncIterator]();
      const next = async (): Promise<unknown> => (await lines.next()).value;
      for (const line of commands.slice(0, background + 1)) shell.stdin.write(`${line}\n`);
      assert.equal(await next(), 'listening');
      shell.stdin.write(`${commands.at(-1)}\n`);
      const said = [await next(), await next()].sort();
      assert.deepEqual(said, ['1 packet sent to 127.0.0.1', 'alice may connect to port 22']);
    } finally {
      shell.stdin.end('kill %1\n');
      await once(shell, 'exit');
      await rm(work, { recursive: true });
    }
  });

  for (const how of ['file', 'ssh-agent'] as const) {
    it(`sign with a key of ssh (signing.mjs, ${how})`, async () => {
      const { folder } = await installed();
      const work = await mkdtemp(join(folder, 'signing-'));
      const file = join(work, '.ssh/id_ed25519');
      await mkdir(join(work, '.ssh'));
      const { privateText, publicLine: key } = sshKeygen(file, { passphrase: 'words of alice' });
      assert.match(privateText, /OPENSSH/u);
      const agent = how === 'file' ? null : await startSshAgent(join(work, 'agent'), join(work, 'ask'));
      await writeFile(join(work, 'ask'), "#!/bin/sh\necho 'words of alice'\n", { mode: 0o755 });
      agent?.add(file);
      const common = { portknock: 1, host: '127.0.0.1', client: 'alice', services: { ssh: 22 } };
      const spa = { scheme: 'spa', gateway: 'gw.example', port: await freePort(), bind: 'observed' };
      const access_key = Buffer.alloc(32, 9).toString('base64');
      await writeFile(
        join(work, 'alice.knock'),
        JSON.stringify({ ...common, ...spa, access_key, key: key.trim() }),
      );
      await writeFile(join(work, 'signing.mjs'), program('signing.mjs').text);
      const env = agent === null ? { MY_PASSPHRASE: 'words of alice' } : {};
      const ran = await runIn(work, process.execPath, ['signing.mjs'], {
        ...{ HOME: work, SSH_AUTH_SOCK: agent?.socketPath ?? '', ...env },
      });
      await agent?.stop();
      await rm(work, { recursive: true });
      assert.deepEqual([ran.code, ran.stdout], [0, '1 packet sent to 127.0.0.1\n'], ran.stderr);
    });
  }

  it('explain a capture (explain.ts)', async () => {
    const { folder } = await installed();
    const work = await mkdtemp(join(folder, 'explain-'));
    const { code } = await transform(program('explain.ts').text, { loader: 'ts' });
    await writeFile(join(work, 'explain.mjs'), code);
    const key = generateSshKey('alice@laptop').publicLine;
    const alice = `alice: { scheme: spa, key: "${key}", services: [ssh] }`;
    const access = Buffer.alloc(32, 9).toString('base64');
    const config = `gateway: gw.example\ninterface: eth0\naccess_key: ${access}\nservices: { ssh: { port: 22 } }\nclients:\n  ${alice}\n`;
    await writeFile(join(work, 'portknockd.yaml'), config, { mode: 0o600 });
    await writeFile(join(work, 'knocks.pcap'), pcap([]));
    const ran = await runIn(work, process.execPath, ['explain.mjs']);
    await rm(work, { recursive: true });
    assert.deepEqual([ran.code, ran.stderr], [0, '']);
  });

  it('count in the registry of a service (watched.ts)', async () => {
    const { folder } = await installed();
    await lend(folder, 'prom-client');
    const { code } = await transform(program('watched.ts').text, { loader: 'ts' });
    await writeFile(join(folder, 'watched.mjs'), code);
    const user = `import { register } from 'prom-client';
      import { mock, sequence, udpSocket } from 'portknock';
      import { watched } from './watched.mjs';
      const services = { ssh: { port: 22 } };
      const clients = [{ name: 'a', services: ['ssh'] }];
      const source = udpSocket({ port: ${await freePort()}, address: '127.0.0.1' });
      const schemes = [sequence({ clients: { a: { sequence: ['7000/udp', '8000/udp'], service: 'ssh' } } })];
      const listener = await watched({ source, schemes, driver: mock(), services, clients });
      await listener.start();
      console.log(await register.metrics());
      await listener.stop();`;
    await writeFile(join(folder, 'watching.mjs'), user);
    const ran = await runIn(folder, process.execPath, ['watching.mjs']);
    assert.equal(ran.code, 0, ran.stderr);
    assert.match(ran.stdout, /^portknock_grants_open\{service="ssh"\} 0$/mu);
  });
});

/** One of our own packages for the folder, if it has not got it. */
async function lend(folder: string, name: string): Promise<void> {
  await symlink(resolve('node_modules', name), join(folder, 'node_modules', name)).catch(() => undefined);
}

function program(name: string): Block {
  return PROGRAMS.find(({ file }) => file === name) ?? assert.fail(`no page has ${name}`);
}
