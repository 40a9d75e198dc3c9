// What can be wrong in a page without running it: links, widths, blocks that nothing checks; and its configurations, which
// are read as portknockd reads them.

import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse, stringify } from 'yaml';
import { generateSshKey } from '../../lib/crypto/ssh-key.ts';
import { loadConfig } from '../../lib/index.ts';
import { allPages, blocksOf, brokenLinks, linksOf, placeOf, readPage, type Block } from './blocks.ts';
import { PAGES, playedBy, SHOWN } from './pages.ts';

const BLOCKS = allPages().flatMap((page) => blocksOf(page));
const COLUMNS = 80;
/** Records of a run, written by a program. */
const WRITTEN = /^benchmarks\//u;

describe('the pages', () => {
  it('have links that lead somewhere', () => {
    const pages = allPages();
    assert.ok(pages.flatMap((page) => linksOf(readPage(page))).length > 50);
    assert.deepEqual(
      pages.flatMap((page) => brokenLinks(page)),
      [],
    );
  });

  it('are all to be found from the README', () => {
    const seen = new Set(['README.md']);
    for (const page of seen) {
      for (const link of linksOf(readPage(page))) {
        const path = new URL(link, `file:///${page}`).pathname.slice(1);
        if (!/^[a-z]+:/u.test(link) && path.endsWith('.md')) seen.add(path);
      }
    }
    assert.deepEqual(
      allPages().filter((page) => !seen.has(page)),
      [],
    );
  });

  it('have no block that nothing checks', () => {
    const unchecked = BLOCKS.filter(({ page, language }) => {
      if (['js', 'ts', 'yaml', 'json'].includes(language) || language in SHOWN) return false;
      return language !== 'sh' || PAGES[page]?.shell === undefined;
    });
    assert.deepEqual(
      unchecked.map((block) => `${placeOf(block)}: ${block.language || 'no language'}`),
      [],
    );
    for (const page of Object.keys(PAGES)) assert.ok(allPages().includes(page), page);
  });

  it('show JSON that is JSON, whole or a value a line', () => {
    for (const block of BLOCKS.filter(({ language }) => language === 'json')) {
      const whole = /^[[{]\n/u.test(block.text) ? [block.text] : block.text.trim().split('\n');
      assert.doesNotThrow(() => whole.map((text) => JSON.parse(text) as unknown), placeOf(block));
    }
  });

  it('show YAML of others that is YAML', () => {
    const others = BLOCKS.filter((block) => block.language === 'yaml' && playedBy(block) !== null);
    assert.ok(others.length >= 2);
    for (const block of others) assert.doesNotThrow(() => parse(block.text) as unknown, placeOf(block));
  });

  it('name tests that are there and that read them', () => {
    const others = BLOCKS.flatMap((block) => {
      const test = playedBy(block) ?? SHOWN[block.language] ?? null;
      return test === null ? [] : [[test, block.page] as const];
    });
    assert.ok(others.length > 5);
    for (const [test, page] of others) {
      assert.ok(existsSync(test), test);
      // The name may be put together there.
      const folder = page.replace('/README.md', '');
      const words = [page, folder, `'${folder.replace('examples/', '')}'`, 'from-${of}.md'];
      assert.ok(
        words.some((word) => readFileSync(test, 'utf8').includes(word)),
        `${test} and ${page}`,
      );
    }
  });

  it('show commands and their output within the width of a terminal', () => {
    const wide = BLOCKS.filter((block) => !WRITTEN.test(playedBy(block) ?? '')).flatMap((block) =>
      ['sh', 'text'].includes(block.language)
        ? block.text
            .split('\n')
            .flatMap((line, at) => (line.length > COLUMNS ? [`${block.page}:${block.line + at}`] : []))
        : [],
    );
    assert.deepEqual(wide, []);
  });

  it('name only npm scripts that exist', () => {
    const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as {
      scripts: Record<string, string>;
    };
    const named = allPages().flatMap((page) =>
      [...readPage(page).matchAll(/npm run ([a-z][\w:]*)/gu)].map(([, name]) => name!),
    );
    assert.ok(named.length >= 10);
    assert.deepEqual(
      named.filter((name) => !(name in scripts)),
      [],
    );
  });
});

describe('the configurations of the pages', () => {
  const configurations = BLOCKS.filter((block) => block.language === 'yaml' && playedBy(block) === null);
  let folder: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'portknock-pages-'));
  });
  after(() => rm(folder, { recursive: true }));

  it('are there', () => {
    assert.ok(configurations.length >= 5, String(configurations.length));
  });

  for (const block of configurations) {
    it(`are valid, or parts of a valid one: ${placeOf(block)}`, async () => {
      const file = join(folder, 'portknockd.yaml');
      await writeFile(file, await whole(block, folder), { mode: 0o600 });
      const { services } = await loadConfig(file);
      assert.ok(Object.keys(services).length > 0);
    });
  }

  it('are refused when they are wrong', async () => {
    const file = join(folder, 'portknockd.yaml');
    const wrong = {
      page: 'a.md',
      line: 1,
      language: 'yaml',
      text: 'no_such_key: 1\n',
      file: null,
      before: '',
    };
    await writeFile(file, await whole(wrong, folder), { mode: 0o600 });
    await assert.rejects(loadConfig(file), /no_such_key/u);
  });
});

describe('the check of pages', () => {
  it('finds a link to a file and to a heading that is not there', () => {
    const text = '# One\n[a](no.md) [b](#two) [c](#one) `[d](no.md)` [e](https://example.org)\n';
    assert.deepEqual(brokenLinks('README.md', text), [
      'README.md: no.md: there is no such file',
      'README.md: #two: there is no such heading',
    ]);
  });

  it('finds blocks in lists, with their place and what stands before', () => {
    const text = '1. On the laptop:\n   two\n\n   ```sh\n   a\n     b\n   ```\n';
    assert.deepEqual(blocksOf('a.md', text), [
      {
        page: 'a.md',
        line: 5,
        language: 'sh',
        text: 'a\n  b\n',
        file: null,
        before: '1. On the laptop: two',
      },
    ]);
  });

  it('finds a block without an end', () => {
    assert.throws(() => blocksOf('a.md', 'x\n\n```sh\na\n'), /a\.md:3: a block without an end/u);
  });
});

/** The account that `init` makes is none of this host's; this one is. */
const ACCOUNT = [/^user: portknock\b/mu, 'user: daemon'] as const;

/** The block's text, with what every gateway has in front where it is only a part; and the files that it names. */
async function whole({ text }: Block, folder: string): Promise<string> {
  const part = parse(text) as Record<string, unknown>;
  const base: Record<string, unknown> = {
    gateway: 'gw.example',
    ...('socket' in part ? {} : { interface: 'eth0' }),
    state_dir: 'state',
    access_key_file: 'gateway.key',
    services: { ssh: { port: 22 } },
  };
  const services = Object.keys((part.services ?? base.services) as object);
  base.clients = { alice: { scheme: 'spa', key: generateSshKey('alice').publicLine, services } };
  if ('access_key' in part || 'access_key_file' in part) delete base.access_key_file;
  const files = [...text.matchAll(/\b(\w*_file|authorized_keys): *(\[[^\]]*\]|[\w./-]+)/gu)];
  const named = files.flatMap(([, kind = '', names = '']) =>
    names
      .replace(/[[\]\s]/gu, '')
      .split(',')
      .map((name) => ({ kind, name })),
  );
  for (const [index, { kind, name }] of [{ kind: '', name: 'gateway.key' }, ...named].entries()) {
    const content =
      kind === 'sequences_file'
        ? '7000,9000,8000\n7100,9100,8100\n'
        : kind === 'authorized_keys'
          ? `${generateSshKey('bob@laptop').publicLine}\n`
          : `${Buffer.alloc(32, index + 1).toString('base64')}\n`;
    await writeFile(join(folder, name), content, { mode: 0o600 });
  }
  const missing = Object.fromEntries(Object.entries(base).filter(([name]) => !(name in part)));
  return `${stringify(missing)}${text.replace(...ACCOUNT)}`;
}
