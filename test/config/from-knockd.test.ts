// The example of docs/from-knockd.md is what the import makes of it, and the options that it names are there.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { importKnockd } from '../../lib/config/knockd-load.ts';

const PAGE = readFileSync('docs/from-knockd.md', 'utf8');
const block = (language: string): string =>
  new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\``, 'mu').exec(PAGE)?.[1] ?? assert.fail(language);

describe('the page about knockd', () => {
  it('has the configuration that its example becomes', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'portknock-page-'));
    const file = join(folder, 'knockd.conf');
    await writeFile(file, block('ini'));
    const { text, notes } = await importKnockd(file);
    await rm(folder, { recursive: true });
    const { services, clients } = parse(text) as Record<string, unknown>;
    assert.deepEqual({ services, clients }, parse(block('yaml')));
    assert.ok(notes.every(({ kind }) => kind !== 'refused'));
  });

  it('names no option and no command that is not there', () => {
    const help = ['portknockd', 'commands/import', 'commands/check', 'commands/add-client']
      .map((name) => readFileSync(`cli/${name}.ts`, 'utf8'))
      .join('\n');
    const options = new Set(block('sh').match(/--[a-z-]+/gu));
    options.delete('--now');
    assert.ok(options.size > 4);
    for (const option of options) assert.ok(help.includes(`${option} `), option);
  });
});
