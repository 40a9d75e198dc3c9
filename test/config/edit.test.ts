// add-client changes nothing but what it adds.

import assert from 'node:assert/strict';
import { parse } from 'yaml';
import { addClientText, newConfigText } from '../../lib/config/edit.ts';
import { parsed } from './support.ts';

const ENTRY = { scheme: 'one-time', secret_file: 'b.key', digest: 'sha256', services: ['ssh'] };
const LINE = 'b: { scheme: one-time, secret_file: b.key, digest: sha256, services: [ssh] }';

describe('a client added to a configuration', () => {
  const rows: readonly [what: string, before: string, after: string][] = [
    [
      'stands behind the last one, and comments and spacing stay',
      '# top\nclients:   # who\n    # first\n    a:   {x: 1}   # A\n\n# tail\nopen_for:  1s\n',
      `# top\nclients:   # who\n    # first\n    a:   {x: 1}   # A\n    ${LINE}\n\n# tail\nopen_for:  1s\n`,
    ],
    [
      'stands behind one that takes several lines',
      'clients:\n  a:\n    x: 1 # one\n    y: [1,\n      2]   # two\nz: 1\n',
      `clients:\n  a:\n    x: 1 # one\n    y: [1,\n      2]   # two\n  ${LINE}\nz: 1\n`,
    ],
    ['takes the place of {}', 'clients: {}\nz: 1 # one\n', `clients:\n  ${LINE}\nz: 1 # one\n`],
    ['makes the map when there is none', 'z: 1', `z: 1\n\nclients:\n  ${LINE}\n`],
    [
      'ends a file that ended without a newline',
      'clients:\n  a: {x: 1}',
      `clients:\n  a: {x: 1}\n  ${LINE}\n`,
    ],
    [
      'goes into braces, and their comments stay',
      'clients: {a: {x: 1}}   # who\n',
      'clients: { a: { x: 1 }, b: { scheme: one-time, secret_file: b.key, digest: sha256, services: [ ssh ] } } # who\n',
    ],
  ];
  for (const [what, before, after] of rows) {
    it(what, () => {
      assert.equal(addClientText(before, 'b', ENTRY), after);
    });
  }

  it('is quoted when its name would be read as something else', () => {
    const text = addClientText('clients: {}\n', 'true', ENTRY);
    assert.deepEqual(parse(text), { clients: { true: ENTRY } });
    assert.ok(text.includes('"true":'));
  });
});

describe('a new configuration', () => {
  const options = {
    gateway: 'gw.example',
    interface: 'eth0',
    stateDir: 'state',
    accessKeyFile: 'field.key',
    services: [
      { name: 'ssh', port: 22 },
      { name: 'admin', port: 8443 },
    ],
  };

  it('is valid, and says what was asked for', async () => {
    const config = await parsed(newConfigText(options));
    assert.equal(config.gateway, 'gw.example');
    assert.deepEqual(config.source, { kind: 'interface', name: 'eth0' });
    assert.equal(config.stateDir, '/gw/state');
    assert.deepEqual(
      Object.entries(config.services).map(([name, { port }]) => [name, port]),
      [
        ['ssh', 22],
        ['admin', 8443],
      ],
    );
    assert.deepEqual(config.clients, []);
  });

  it('keeps within 110 columns', () => {
    const longest = Math.max(
      ...newConfigText(options)
        .split('\n')
        .map((line) => line.length),
    );
    assert.ok(longest <= 110, String(longest));
  });
});
