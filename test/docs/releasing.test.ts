// The commands of docs/releasing.md, typed as they stand there, in a repository of their own: git and its signatures are
// real, npm is real where it stays at home, and what would reach a registry or take an hour says that it was called.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { runIn, type Ran } from '../consumer/installed.ts';
import { programArgs } from '../support/programs.ts';
import { sshKeygen } from '../support/ssh-tools.ts';
import { blocksOf } from './blocks.ts';
import { commandsOf } from './stage.ts';

const PAGE = 'docs/releasing.md';

interface Manifest {
  readonly version: string;
  readonly scripts: Readonly<Record<string, string>>;
}

describe('the commands of docs/releasing.md', () => {
  let folder: string;
  let tree: string;
  let home: string;
  const blocks = blocksOf(PAGE).filter(({ language }) => language === 'sh');
  const called = async (): Promise<string> => readFile(join(folder, 'called'), 'utf8');

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'portknock-releasing-'));
    [tree, home] = [join(folder, 'tree'), join(folder, 'empty')];
    const bin = join(folder, 'bin');
    for (const each of [join(tree, '.ci'), bin, home]) await mkdir(each, { recursive: true });
    for (const name of ['package.json', 'package-lock.json']) await copyFile(name, join(tree, name));
    const log = `echo "$(basename "$0") $*" >>${join(folder, 'called')}\n`;
    await writeFile(join(tree, '.ci/run'), log);
    await writeFile(
      join(tree, '.ci/audit.mjs'),
      `import { appendFileSync } from 'node:fs';
       appendFileSync('${join(folder, 'called')}', 'audit.mjs ' + process.argv.slice(2).join(' ') + '\\n');`,
    );
    const npm = (await runIn('.', 'sh', ['-c', 'command -v npm'])).stdout.trim();
    const real = `case "$1" in version) exec '${npm}' "$@" ;; esac\n`;
    await writeFile(join(bin, 'npm'), `#!/bin/sh\n${log}${real}`, { mode: 0o755 });
    const ours = [process.execPath, ...programArgs('portknock')].map((word) => `'${word}'`).join(' ');
    await writeFile(join(bin, 'npx'), `#!/bin/sh\n[ "$1" = portknock ] && shift && exec ${ours} "$@"\n`, {
      mode: 0o755,
    });
    // What npm would have put there.
    await mkdir(join(home, 'node_modules'));
    await symlink(resolve('.'), join(home, 'node_modules/portknock'));
    sshKeygen(join(folder, 'maintainer'), {});
    for (const setting of [
      'init -q -b main',
      'config user.name maintainer',
      'config user.email maintainer@example.org',
      'config gpg.format ssh',
      `config user.signingkey ${join(folder, 'maintainer')}`,
      'config tag.gpgsign true',
      'config core.hooksPath /dev/null',
      'add .',
      'commit -q -m all',
    ])
      assert.equal((await type(`git ${setting}`)).code, 0, setting);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /** Nobody's own settings, and an editor that changes nothing: a tag's message is asked for. */
  const type = (command: string, cwd = tree): Promise<Ran> =>
    runIn(cwd, 'bash', ['-c', command], {
      PATH: [join(folder, 'bin'), process.env.PATH].join(delimiter),
      HOME: folder,
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_EDITOR: 'echo release >',
    });

  it('name scripts, programs and options that there are', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as Manifest;
    const commands = blocks.flatMap(({ text }) => commandsOf(text));
    assert.ok(commands.length >= 10);
    for (const command of commands) {
      const [, script] = /^npm run (\S+)/u.exec(command) ?? [];
      if (script !== undefined) assert.ok(script in scripts, command);
      const [, file] = /(\.ci\/\S+)/u.exec(command) ?? [];
      if (file !== undefined) assert.ok(existsSync(file), command);
    }
    assert.match(readFileSync('.ci/audit.mjs', 'utf8'), /\bstrict: \{ type: 'boolean'/u);
  });

  it('make a version, a commit, and a tag with a signature; each is done', async () => {
    for (const [index, { text }] of blocks.entries()) {
      for (const command of commandsOf(text)) {
        const ran = await type(command, index === blocks.length - 1 ? home : tree);
        assert.equal(ran.code, 0, `${command}: ${ran.stderr}`);
      }
    }
    const { version } = JSON.parse(await readFile(join(tree, 'package.json'), 'utf8')) as Manifest;
    assert.notEqual(version, (JSON.parse(readFileSync('package.json', 'utf8')) as Manifest).version);
    assert.equal((await type('git log -1 --format=%s')).stdout, `release: ${version}\n`);
    assert.match((await type(`git cat-file tag v${version}`)).stdout, /BEGIN SSH SIGNATURE/u);
    assert.equal((await type('git status --porcelain')).stdout, '');
    const lines = (await called()).trim().split('\n');
    const order = [
      'version minor',
      'run',
      'audit',
      'check:package',
      'publish --dry-run',
      'publish',
      'install',
    ];
    let at = -1;
    for (const word of order) {
      at = lines.findIndex((line, where) => where > at && line.includes(word));
      assert.ok(at >= 0, `${word}: ${lines.join(', ')}`);
    }
  });
});
