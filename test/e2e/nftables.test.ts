// The nftables driver on a real kernel, under the suite that every driver must pass: as root, and as the root of a user
// namespace.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { FirewallDriver } from '../../lib/firewall/driver.ts';
import { driverConformance } from '../../lib/testing/driver-suite.ts';
import { startAgent, type Agent } from '../support/agent.ts';
import { joinInner, type Inner } from '../support/inner.ts';
import { createWorld, finished, type World } from '../support/netns.ts';
import { startDriver, type RemoteDriver } from './nftables-driver.ts';
import { describeInNamespaces, pause } from './support.ts';

const NAS = {
  name: 'nas',
  protocol: 'tcp',
  port: 2222,
  openForMs: 3000,
  connections: 1,
  to: { host: '10.78.0.5', port: 22 },
} as const;

describeInNamespaces('nftables, as a firewall driver', function () {
  this.timeout(30_000);
  let world: World;
  let inner: Inner;
  let inside: Agent;
  let gateway: Agent;
  let outside: Agent;
  let remote: RemoteDriver;

  before(async () => {
    world = await createWorld();
    inner = await joinInner(world);
    inside = await startAgent(inner.space);
    await inside.echo({ port: 22 });
    [gateway, outside, remote] = await Promise.all([
      startAgent(world.gateway),
      startAgent(world.outside),
      startDriver(world.gateway),
    ]);
    for (const port of [22, 8443]) await gateway.echo({ port });
    await gateway.echoDatagrams({ port: 5353 });
  });

  after(async () => {
    await Promise.all([inside.stop(), gateway.stop(), outside.stop(), remote.stop()]);
    await inner.destroy();
    await world.destroy();
  });

  const driver: FirewallDriver = {
    name: 'nftables',
    real: true,
    async setup(services) {
      await remote.setup(services);
    },
    async open(grant) {
      await remote.open(grant);
    },
    async close(grant) {
      await remote.close(grant);
    },
    list: () => remote.list(null),
    async teardown() {
      await remote.teardown(null);
    },
  };

  const cases = driverConformance({
    async make() {
      await remote.make({});
      return driver;
    },
    elapse: (_driver, ms) => pause(ms),
    sources: ['10.77.0.2', 'fd77::2'],
    forwarded: NAS,
    refused: { name: 'many', protocol: 'tcp', port: 4000, openForMs: 3000, connections: 2 ** 32 },
    async admits(_driver, { protocol, port }, source) {
      const request = { host: source.includes(':') ? 'fd77::1' : '10.77.0.1', port, source };
      return protocol === 'udp' ? outside.ask(request) : (await outside.connect(request)).outcome === 'talks';
    },
  });
  for (const { title, run } of cases) it(title, run);

  it('has a golden ruleset that the kernel takes', async () => {
    await world.gateway.must('nft', ['-c', '-f', 'test/vectors/nftables.rules']);
  });
});

// Whoever is root there only already, cannot make another one.
if (process.env.PORTKNOCK_INNER !== 'yes') {
  describeInNamespaces('nftables in a user namespace', function () {
    this.timeout(200_000);

    it('passes the same suite', async () => {
      const mocha = [process.execPath, 'node_modules/mocha/bin/mocha.js', '--reporter', 'min', '--exit'];
      const child = spawn('unshare', ['-rn', ...mocha, 'test/e2e/nftables.test.ts'], {
        env: { ...process.env, PORTKNOCK_INNER: 'yes', NODE_V8_COVERAGE: '' },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      const { status, stdout, stderr } = await finished(child);
      assert.equal(status, 0, stdout + stderr);
      assert.ok(Number(/(\d+) passing/u.exec(stdout)?.[1]) >= 30, stdout);
      assert.doesNotMatch(stdout, /pending/u);
    });
  });
}
