// The commands of every page are typed as they stand there: those about hosts at machines of their own, those of npm
// where npm only looks whether it has such a script.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { describeInNamespaces } from '../e2e/support.ts';
import { blocksOf, placeOf, type Block } from './blocks.ts';
import { PAGES, playedBy, type Page } from './pages.ts';
import { commandsOf, Stage, type Prepare } from './stage.ts';

/** Knows the scripts of package.json and nothing else. */
const NPM = `#!/usr/bin/env node
const [command, name] = process.argv.slice(2);
const { scripts } = JSON.parse(require('fs').readFileSync('package.json', 'utf8'));
process.exit(command === 'test' || (command === 'run' && name in scripts) ? 0 : 1);
`;

const nothing: Prepare = async () => undefined;

const rows = Object.entries(PAGES).map(
  ([page, row]) =>
    [
      page,
      row,
      blocksOf(page).filter((block) => block.language === 'sh' && playedBy(block) === null),
    ] as const,
);

describe('the commands of npm', () => {
  let folder: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'portknock-npm-'));
    writeFileSync(join(folder, 'npm'), NPM, { mode: 0o755 });
  });
  after(() => rmSync(folder, { recursive: true }));

  const type = (command: string): number | null =>
    spawnSync('bash', ['-c', command], { env: { PATH: [folder, process.env.PATH].join(delimiter) } }).status;

  for (const [page, , blocks] of rows.filter(([, { shell }]) => shell === 'npm')) {
    it(`are there: ${page}`, () => {
      const commands = blocks.flatMap(({ text }) => commandsOf(text));
      assert.ok(commands.length > 0);
      assert.deepEqual(
        commands.filter((command) => !/^npm /u.test(command) || type(command) !== 0),
        [],
      );
    });
  }

  it('are refused when they are not', () => {
    assert.equal(type('npm run nothing'), 1);
  });
});

describeInNamespaces('the commands of a page', function () {
  this.timeout(300_000);

  after(() => Promise.all([...open.values()].map((stage) => stage.close())));

  for (const [page, row, blocks] of rows.filter(([, { shell }]) => shell === 'machines')) {
    it(`do what the page says: ${page}`, () => played(row, blocks));
  }

  it('are a failure when one of them fails', async () => {
    const block = blocksOf('a.md', '```sh\ntrue\nfalse # and why\n```\n');
    await assert.rejects(played({ shell: 'machines' }, block), /a\.md:2: false # and why/u);
  });
});

/** Pages that begin with the same share a pair of machines, until one of them fails. */
const open = new Map<Prepare, Stage>();

async function played({ prepare, afterwards, ...how }: Page, blocks: readonly Block[]): Promise<void> {
  assert.ok(blocks.length > 0);
  const stage = await stageFor(prepare ?? nothing);
  try {
    for (const block of blocks) await stage.type(block, how);
    await afterwards?.(stage);
  } catch (error) {
    open.delete(prepare ?? nothing);
    await stage.close();
    throw new Error(`${blocks.map(placeOf).join(' ')}: ${String(error)}`, { cause: error });
  }
}

async function stageFor(prepare: Prepare): Promise<Stage> {
  const there = open.get(prepare);
  if (there !== undefined) return there;
  const stage = await Stage.open();
  open.set(prepare, stage);
  await prepare(stage);
  return stage;
}
