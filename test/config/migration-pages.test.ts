// The examples of docs/from-knockd.md and docs/from-fwknop.md are what the import makes of them, and the options that they
// name are there.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { ADD_CLIENT } from '../../cli/manual/add-client.ts';
import { CHECK } from '../../cli/manual/check.ts';
import { EXPLAIN } from '../../cli/manual/explain.ts';
import { IMPORT } from '../../cli/manual/import.ts';
import { PORTKNOCKD } from '../../cli/manual/portknockd.ts';
import { helpText } from '../../cli/pages/help.ts';
import { importFwknop } from '../../lib/config/fwknop-load.ts';
import type { Imported } from '../../lib/config/import-yaml.ts';
import { importKnockd } from '../../lib/config/knockd-load.ts';

const PAGES: readonly [of: string, language: string, imports: (path: string) => Promise<Imported>][] = [
  ['knockd', 'ini', importKnockd],
  ['fwknop', 'conf', importFwknop],
];
/** Of systemctl. */
const OTHERS = ['--now'];

for (const [of, language, imports] of PAGES) {
  describe(`the page about ${of}`, () => {
    const page = readFileSync(`docs/from-${of}.md`, 'utf8');
    const block = (kind: string): string =>
      new RegExp(`^\`\`\`${kind}\\n([^]*?)^\`\`\``, 'mu').exec(page)?.[1] ?? assert.fail(kind);

    it('has the configuration that its example becomes', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'portknock-page-'));
      const file = join(folder, 'theirs.conf');
      await writeFile(file, block(language));
      const { text, notes } = await imports(file);
      await rm(folder, { recursive: true });
      const { services, clients } = parse(text) as Record<string, unknown>;
      assert.deepEqual({ services, clients }, parse(block('yaml')));
      assert.ok(notes.every(({ kind }) => kind !== 'refused'));
    });

    it('names no option and no command that is not there', () => {
      const help = [PORTKNOCKD, IMPORT, CHECK, ADD_CLIENT, EXPLAIN].map(helpText).join('\n');
      const options = new Set(block('sh').match(/--[a-z-]+/gu));
      for (const other of OTHERS) options.delete(other);
      assert.ok(options.size > 4);
      for (const option of options) assert.ok(help.includes(`${option} `), option);
    });
  });
}
