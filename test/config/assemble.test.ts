// A configuration becomes the parts that it names.

import assert from 'node:assert/strict';
import { assemble } from '../../lib/config/assemble.ts';
import { parsed, VALID } from './support.ts';

describe('assemble', () => {
  it('takes the real parts', async () => {
    const { source, driver, replay, schemes } = assemble(await parsed(VALID));
    assert.equal(source.name, 'interface eth0');
    assert.deepEqual([driver.name, driver.real], ['iptables', true]);
    assert.equal(replay.durable, true);
    assert.deepEqual(
      schemes.map(({ name, clients }) => [name, clients]),
      [['one-time', ['field']]],
    );
  });

  it('takes harmless parts for a dry run', async () => {
    const { source, driver, replay } = assemble(await parsed(VALID), { dryRun: true });
    assert.equal(source.name, 'interface eth0');
    assert.equal(driver.real, false);
    assert.equal(replay.durable, false);
  });

  it('takes every scheme that has clients, with what it must see', async () => {
    const more = '  old: { scheme: sequence, sequence: [7000/tcp, 9000/udp], services: [ssh] }\n';
    const { schemes } = assemble(await parsed(VALID + more));
    assert.deepEqual(
      schemes.map(({ name, clients }) => [name, clients]),
      [
        ['one-time', ['field']],
        ['sequence', ['old']],
      ],
    );
    const without = assemble(await parsed(VALID.replace(/clients:[^]*/u, '')));
    assert.deepEqual(without.schemes, []);
  });

  it('binds a socket where the configuration says', async () => {
    const text = VALID.replace('interface: eth0', 'socket: 127.0.0.1:40000-40015').replace(
      ', services: [',
      ', ports: 40000-40015, services: [',
    );
    const { source } = assemble(await parsed(text));
    assert.equal(source.name, 'udp socket 40000-40015');
    assert.equal(source.loopback, true);
  });
});
