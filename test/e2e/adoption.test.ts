// Grants that outlive the daemon: after kill -9 and a new start an unspent opening still admits its one connection and no
// second one, a dead one admits nobody, and the replay state knows every knock (attacks 1, 12, 17).

import assert from 'node:assert/strict';
import { appendFile, mkdir, readdir, readFile, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { startAgent, type Agent } from '../support/agent.ts';
import { configFor, FIELD_SECRET, Gateway, Site } from '../support/gateway.ts';
import { createWorld, type World } from '../support/netns.ts';
import { FieldClient, describeInNamespaces, pause } from './support.ts';

/** A knock stays one of its step through as many new starts as there are here; no test knocks more than four times. */
const STEP = 20;
const KEY = { secret: FIELD_SECRET, stepSeconds: STEP };

for (const backend of ['legacy', 'nft', 'nftables'] as const) {
  const driver = backend === 'nftables' ? backend : `iptables-${backend}`;
  describeInNamespaces(`grants of a gateway that was killed (${driver})`, function () {
    this.timeout(60_000);
    let world: World;
    let inside: Agent;
    let outside: Agent;
    let site: Site;
    let gateway: Gateway;
    let client: FieldClient;

    before(async () => {
      world = await createWorld();
      [inside, outside] = await Promise.all([startAgent(world.gateway), startAgent(world.outside)]);
      await inside.echo({ port: 22 });
    });

    beforeEach(async () => {
      await start('60s');
    });

    afterEach(async () => {
      await gateway.end('SIGKILL');
      await site.remove();
    });

    after(async () => {
      await Promise.all([inside.stop(), outside.stop()]);
      await world.destroy();
    });

    const start = async (openFor: string): Promise<void> => {
      site = await Site.create(world, configFor({ backend, openFor, step: STEP }));
      gateway = await Gateway.start(world, site);
      client = new FieldClient(outside, world.address[4], KEY);
    };
    const connect = async (source = world.client[4]): Promise<string> =>
      (await outside.connect({ host: world.address[4], port: 22, source })).outcome;
    const granted = async (source?: string): Promise<void> => {
      const before = gateway.of('grant').length;
      await client.knock(source);
      await gateway.wait('grant', { count: before + 1 });
    };
    const restart = async (signal: NodeJS.Signals = 'SIGKILL'): Promise<void> => {
      await gateway.end(signal);
      gateway = await Gateway.start(world, site);
    };

    for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
      it(`admit one connection after ${signal} and a new start, and are reported as used`, async () => {
        await granted();
        await restart(signal);
        assert.equal(await connect(world.stranger[4]), 'refused');
        assert.equal(await connect(), 'talks');
        assert.equal(await connect(), 'refused');
        assert.equal((await gateway.wait('close')).reason, 'used');
        await client.send(client.sent);
        assert.equal((await gateway.wait('reject')).reason, 'replayed');
        assert.equal(await connect(), 'refused');
      });
    }

    it('end on time after a new start', async () => {
      await gateway.end();
      await site.remove();
      await start('8s');
      await granted();
      const until = Date.parse(String(gateway.of('grant')[0]?.open_until));
      // An opening that began anew with the run would end that much later; a machine that stands still ends one late, too.
      await pause(5000);
      await restart();
      await pause(until + 2000 - Date.now());
      assert.equal(await connect(), 'refused', 'two seconds after its end');
      const close = await gateway.wait('close');
      assert.equal(close.reason, 'expired');
      const late = Date.parse(close.time) - until;
      assert.ok(late > -500 && late < 5000, `closed ${late} ms after its end`);
      assert.equal(await connect(), 'refused');
    });

    it('admit nobody by what was used before the new start, and can be had anew', async () => {
      await granted();
      await granted(world.stranger[4]);
      await gateway.end('SIGKILL');
      assert.equal(await connect(), 'talks');
      gateway = await Gateway.start(world, site);
      assert.equal(await connect(), 'refused');
      await granted();
      assert.equal(await connect(), 'talks');
      assert.equal(await connect(), 'refused');
      assert.equal(await connect(world.stranger[4]), 'talks');
      assert.equal(await connect(world.stranger[4]), 'refused');
    });

    it('are closed at the start when the record of them is lost', async () => {
      await granted();
      await gateway.end('SIGKILL');
      await truncate(join(site.folder, 'state', 'grants'), 0);
      gateway = await Gateway.start(world, site);
      assert.equal(await connect(), 'refused');
      await granted();
      assert.equal(await connect(), 'talks');
    });

    it('are closed at the start when only others are in the record', async () => {
      await granted();
      const file = join(site.folder, 'state', 'grants');
      const recorded = await readFile(file, 'utf8');
      await granted(world.stranger[4]);
      await gateway.end('SIGKILL');
      await truncate(file, recorded.length);
      await appendFile(file, 'half a li');
      gateway = await Gateway.start(world, site);
      assert.equal(await connect(world.stranger[4]), 'refused');
      assert.equal(await connect(), 'talks');
    });
  });
}

describeInNamespaces('openings of commands', function () {
  this.timeout(60_000);
  let world: World;
  let outside: Agent;
  let site: Site;
  let gateway: Gateway;
  let client: FieldClient;
  let folder = '';
  let until = 0;

  before(async () => {
    world = await createWorld();
    outside = await startAgent(world.outside);
  });

  const opened = async (openFor: string): Promise<void> => {
    site = await Site.create(world, '');
    folder = join(site.folder, 'open');
    await mkdir(folder);
    const commands = `{ driver: command, open: [touch, '${folder}/{ip}'], close: [rm, '${folder}/{ip}'] }`;
    const rest = configFor({ openFor }).replace(
      /firewall: .*\nfirewall_backend: .*/u,
      `firewall: ${commands}`,
    );
    await site.write(`gateway: gw.example\ninterface: ${world.device}\nstate_dir: state\n${rest}`);
    gateway = await Gateway.start(world, site);
    client = new FieldClient(outside, world.address[4]);
    await client.knock();
    until = Date.parse(String((await gateway.wait('grant')).open_until));
    assert.deepEqual(await readdir(folder), [world.client[4]]);
  };

  afterEach(async () => {
    await gateway.end('SIGKILL');
    await site.remove();
  });

  after(async () => {
    await outside.stop();
    await world.destroy();
  });

  it('end with the daemon when it stops', async () => {
    await opened('60s');
    await gateway.end('SIGTERM');
    assert.deepEqual(await readdir(folder), []);
  });

  it('are kept by the next run after kill -9, and closed at their time', async () => {
    await opened('12s');
    await gateway.end('SIGKILL');
    gateway = await Gateway.start(world, site);
    assert.deepEqual(await readdir(folder), [world.client[4]]);
    await gateway.wait('close');
    assert.deepEqual(await readdir(folder), []);
  });

  it('are closed by the next run after kill -9 when their time is over', async () => {
    await opened('5s');
    await gateway.end('SIGKILL');
    await pause(until + 500 - Date.now());
    assert.deepEqual(await readdir(folder), [world.client[4]]);
    gateway = await Gateway.start(world, site);
    await gateway.wait('close');
    assert.deepEqual(await readdir(folder), []);
  });
});
