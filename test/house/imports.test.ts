// The import table of design.md section 2 holds, and the check of it can fail.

import assert from 'node:assert/strict';
import { importFaults, importGraph, loadedFor } from './import-rules.ts';
import { typescriptFiles } from './tree.ts';

const NOT_FOR_SEND =
  /^(yaml|valibot|pcap|prom-client|debug|node-forge|bcrypt-pbkdf|lib\/(listener|capture|firewall|config|replay|grant)\/)/u;

describe('imports of lib and cli', () => {
  it('keep to the import table', async () => {
    assert.deepEqual(importFaults(await importGraph(sources())), []);
  });

  for (const command of ['send', 'connect']) {
    it(`let "portknock ${command}" start without the configuration reader, the capture and the listener`, async () => {
      const file = `cli/commands/${command}.ts`;
      if (!sources().includes(file)) return assert.notEqual(command, 'send', `${file} exists`);
      const loaded = await loadedFor('cli/portknock.ts', file);
      assert.ok(loaded.has(file));
      assert.deepEqual(
        [...loaded].filter((each) => NOT_FOR_SEND.test(each)),
        [],
      );
    });
  }
});

describe('the check of imports', () => {
  const table: readonly [what: string, files: Record<string, string>, fault: string][] = [
    [
      'a leaf that imports one of ours',
      { 'lib/clock.ts': "import './errors.ts'", 'lib/errors.ts': '' },
      'lib/clock.ts may not import lib/errors.ts',
    ],
    [
      'a scheme that reaches a store',
      { 'lib/scheme/spa.ts': "import '../replay/file.ts'", 'lib/replay/file.ts': '' },
      'lib/scheme/spa.ts may not import lib/replay/file.ts',
    ],
    [
      'a grant manager that names a driver',
      { 'lib/grant/manager.ts': "import '../firewall/iptables.ts'", 'lib/firewall/iptables.ts': '' },
      'lib/grant/manager.ts may not import lib/firewall/iptables.ts',
    ],
    [
      'a listener that names a source',
      { 'lib/listener/listener.ts': "import '../capture/live.ts'", 'lib/capture/live.ts': '' },
      'lib/listener/listener.ts may not import lib/capture/live.ts',
    ],
    [
      'a file of lib that imports the public index',
      { 'lib/config/assemble.ts': "import '../index.ts'", 'lib/index.ts': '' },
      'lib/config/assemble.ts imports lib/index.ts, which is for users',
    ],
    [
      'a process started elsewhere than in run.ts',
      { 'lib/firewall/iptables.ts': "import 'node:child_process'" },
      'lib/firewall/iptables.ts may not import node:child_process',
    ],
    [
      'pcap elsewhere than in child.ts',
      { 'lib/capture/live.ts': "export const load = () => import('pcap')" },
      'lib/capture/live.ts may not import pcap',
    ],
    [
      'pcap loaded at once',
      { 'lib/capture/child.ts': "import 'pcap'" },
      'lib/capture/child.ts must load pcap lazily',
    ],
    [
      'a knocker that reads files, by a detour',
      { 'lib/knocker/send.ts': "import '../scheme/spa.ts'", 'lib/scheme/spa.ts': "import 'node:fs'" },
      'lib/knocker/send.ts reaches node:fs',
    ],
    [
      'a command that goes past the public surface',
      { 'cli/commands/init.ts': "import '../../lib/config/load.ts'", 'lib/config/load.ts': '' },
      'cli/commands/init.ts may not import lib/config/load.ts',
    ],
    [
      'a command that uses a package',
      { 'cli/commands/init.ts': "import 'yaml'" },
      'cli/commands/init.ts may not import yaml',
    ],
    [
      'a package that is no dependency',
      { 'lib/metrics.ts': "import 'left-pad'" },
      'lib/metrics.ts imports left-pad, which is no dependency',
    ],
    [
      'a folder that nobody decided on',
      { 'lib/utils/misc.ts': '' },
      'lib/utils/misc.ts has no row in the import table',
    ],
    [
      'two files that import each other',
      { 'lib/packet/ip.ts': "import './link.ts'", 'lib/packet/link.ts': "import './ip.ts'" },
      'import cycle: lib/packet/ip.ts -> lib/packet/link.ts -> lib/packet/ip.ts',
    ],
  ];
  for (const [what, files, fault] of table) {
    it(`finds ${what}`, async () => {
      const faults = importFaults(await importGraph(Object.keys(files), files));
      assert.ok(faults.includes(fault), `found only: ${faults.join('; ')}`);
    });
  }

  it('passes a type-only import, which is gone at run time', async () => {
    const files = {
      'lib/capture/source.ts': "import type { Scheme } from '../scheme/scheme.ts'",
      'lib/scheme/scheme.ts': '',
    };
    assert.deepEqual(importFaults(await importGraph(Object.keys(files), files)), []);
  });

  it('finds a slow start behind a shared chunk, and not behind a lazy import', async () => {
    const files = {
      'cli/portknock.ts': "if (process.argv[2] === 'send') await import('./commands/send.ts')",
      'cli/commands/send.ts':
        "import '../../lib/knocker.ts'; export const later = () => import('../../lib/lazy.ts')",
      'lib/knocker.ts': "import './config/load.ts'; console.log('knocker')",
      'lib/config/load.ts': "import { parse } from 'yaml'; console.log(parse)",
      'lib/lazy.ts': "import { object } from 'valibot'; console.log(object)",
    };
    const loaded = await loadedFor('cli/portknock.ts', 'cli/commands/send.ts', files);
    assert.deepEqual([...loaded].filter((each) => NOT_FOR_SEND.test(each)).sort(), [
      'lib/config/load.ts',
      'yaml',
    ]);
  });
});

function sources(): string[] {
  return [...typescriptFiles('lib'), ...typescriptFiles('cli')];
}
