// Services with commands of their own, beside the gateway's firewall.

import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assemble } from '../../lib/config/assemble.ts';
import { requireReloadable } from '../../lib/config/reload.ts';
import { parsed, problems, VALID } from './support.ts';

const withService = (service: string): string =>
  VALID.replace('  ssh: { port: 22 }', `  ssh: { port: 22 }\n  door: ${service}`);
const COMMANDS = '{ open: [fw, "{ip}"], close: [fw, -d, "{ip}"] }';

describe('a service with commands', () => {
  it('needs no port, and has a driver of its own', async () => {
    const config = await parsed(withService(COMMANDS));
    assert.deepEqual(config.services.door, {
      ...{ port: 0, portless: true, protocol: 'tcp', openForMs: 30_000, connections: 1 },
      commands: {
        ...{ open: ['fw', '{ip}'], close: ['fw', '-d', '{ip}'], open6: null, close6: null, timeoutMs: 5000 },
      },
    });
    assert.equal(config.services.ssh?.commands, undefined);
    assert.equal(assemble(config).driver.name, 'iptables+command');
    assert.equal(assemble(await parsed(VALID)).driver.name, 'iptables');
    assert.equal(assemble(config, { dryRun: true }).driver.name, 'mock');
  });

  it('runs them, those for IPv6 for such sources', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'portknock-commands-'));
    const write = (name: string): string => `[sh, -c, 'echo ${name} {ip} >> ${folder}/log']`;
    const service = `{ port: 5, open: ${write('o')}, close: ${write('c')}, open_6: ${write('o6')}, close_6: ${write('c6')} }`;
    const { driver } = assemble(await parsed(`${withService(service)}firewall: mock\n`));
    const held = { port: 5, protocol: 'tcp', openForMs: 60_000, connections: 1, name: 'door' } as const;
    const grant = { ...held, id: 'g', client: 'a', service: 'door', openUntil: Date.now() + 60_000 };
    await driver.setup([held], { warning: () => undefined });
    for (const source of ['192.0.2.1', '2001:db8::1']) {
      await driver.open({ ...grant, source });
      await driver.close({ ...grant, source });
    }
    const log = await readFile(join(folder, 'log'), 'utf8');
    await rm(folder, { recursive: true });
    assert.deepEqual(log.split('\n'), ['o 192.0.2.1', 'c 192.0.2.1', 'o6 2001:db8::1', 'c6 2001:db8::1', '']);
  });

  const mistakes: readonly [service: string, problem: RegExp][] = [
    ['{ open_for: 1s }', /port is missing/u],
    ['{ open: [fw] }', /open is given without close \(add close: \[\.\.\.\], or \[true\]/u],
    ['{ open: [fw], close: [fw], open_6: [fw] }', /open_6 is given without close_6/u],
    ['{ port: 5, open_6: [fw], close_6: [fw] }', /open_6 is given without open/u],
    ['{ open: [], close: [fw] }', /open must be a list with at least one entry/u],
    ['{ open: [fw, "{who}"], close: [fw] }', /open has an unknown placeholder, got '\{who\}'/u],
    ['{ open: ["{ip}"], close: [fw] }', /open must name one program/u],
    ['{ open: [fw], close: [fw], timeout: 2m }', /timeout must be/u],
  ];
  for (const [service, problem] of mistakes) {
    it(`is refused when it makes no sense: ${service}`, async () => {
      assert.match((await problems(withService(service))).join('\n'), problem);
    });
  }

  it('may be one of several without a port, and keeps its commands while the gateway runs', async () => {
    const text = withService(`${COMMANDS}\n  other: ${COMMANDS}`);
    const config = await parsed(text);
    assert.equal(Object.keys(config.services).length, 3);
    const other = await parsed(text.replace('fw, -d', 'fw, -x'));
    assert.throws(() => {
      requireReloadable(config, other);
    }, /commands of services cannot change while portknockd runs/u);
    requireReloadable(config, await parsed(text.replace('port: 22', 'port: 23')));
  });
});
