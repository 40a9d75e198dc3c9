// A real gateway is operated while it works: what is open before and after its use, a grant that is taken back in the kernel, and
// the metrics of all that.

import assert from 'node:assert/strict';
import { startAgent, type Agent } from '../support/agent.ts';
import { configFor, Gateway, Site } from '../support/gateway.ts';
import { createWorld, type World } from '../support/netns.ts';
import { programArgs } from '../support/programs.ts';
import { granted } from './granted.ts';
import { describeInNamespaces, FieldClient } from './support.ts';

interface Grant {
  readonly id: string;
  readonly state: string;
  readonly source: string;
}

describeInNamespaces('a gateway that is operated', function () {
  this.timeout(120_000);
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
    const more = 'metrics: { listen: 127.0.0.1:9469 }';
    site = await Site.create(world, configFor({ backend: 'nftables', more }));
    gateway = await Gateway.start(world, site);
    client = new FieldClient(outside, world.address[6]);
  });

  after(async () => {
    await gateway?.end();
    await Promise.all([inside?.stop(), outside?.stop()]);
    await site?.remove();
    await world.destroy();
  });

  const portknock = (...args: string[]) =>
    world.gateway.run(process.execPath, [...programArgs('portknock'), ...args, '--config', site.config]);
  const grants = async (...args: string[]): Promise<readonly Grant[]> => {
    const { stdout } = await portknock('grants', '--json', ...args);
    return stdout.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Grant]));
  };
  const connect = async (): Promise<string> =>
    (await outside.connect({ host: world.address[6], port: 22 })).outcome;
  const knock = () => granted(gateway, () => client.knock());

  it('shows a grant while it is unused, and that it was used after that', async () => {
    assert.deepEqual(await grants(), []);
    await knock();
    const [grant] = await grants();
    assert.deepEqual([grant?.state, grant?.source], ['open', world.client[6]]);
    assert.equal(await connect(), 'talks');
    await gateway.wait('close');
    assert.deepEqual(await grants(), []);
    const [ended] = await grants('--all');
    assert.deepEqual([ended?.id, ended?.state], [grant?.id, 'used']);
  });

  it('closes in the kernel what is taken back', async () => {
    await knock();
    const [grant] = await grants();
    const { status, stderr } = await portknock('revoke', String(grant?.id).slice(0, 8));
    assert.equal(status, 0, stderr);
    assert.equal(await connect(), 'refused');
    assert.equal((await gateway.wait('close', { count: 2 })).reason, 'revoked');
  });

  it('has counted all of that, for people and for Prometheus', async () => {
    const url = 'http://127.0.0.1:9469/metrics';
    const script = `process.stdout.write(await (await fetch('${url}')).text())`;
    const text = await world.gateway.must(process.execPath, ['--input-type=module', '-e', script]);
    for (const sample of [
      'portknock_knocks_total{scheme="one-time",result="accepted"} 2',
      'portknock_grants_total{service="ssh",scheme="one-time"} 2',
      'portknock_grant_closes_total{service="ssh",reason="used"} 1',
      'portknock_grant_closes_total{service="ssh",reason="revoked"} 1',
      'portknock_grants_open{service="ssh"} 0',
      'portknock_knock_to_open_seconds_count 2',
      'portknock_packets_dropped_total 0',
    ])
      assert.ok(text.includes(`${sample}\n`), `${sample}: ${text}`);
    const { stdout } = await portknock('status');
    assert.match(stdout, /^grants {4}0 open, 2 in all: 1 used, 1 revoked$/mu);
    assert.match(stdout, /^replay {4}durable$/mu);
  });
});
