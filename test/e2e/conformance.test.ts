// The iptables driver and live capture on a real kernel, under the suites that every driver and source must pass.

import { createSocket } from 'node:dgram';
import { liveCapture } from '../../lib/capture/live.ts';
import type { FirewallDriver } from '../../lib/firewall/driver.ts';
import { driverConformance } from '../../lib/testing/driver-suite.ts';
import { sourceConformance } from '../../lib/testing/source-suite.ts';
import { startAgent, type Agent } from '../support/agent.ts';
import { joinInner, type Inner } from '../support/inner.ts';
import { createWorld, type World } from '../support/netns.ts';
import { describeInNamespaces, pause } from './support.ts';

const NAS = {
  name: 'nas',
  protocol: 'tcp',
  port: 2222,
  openForMs: 3000,
  connections: 1,
  to: { host: '10.78.0.5', port: 22 },
} as const;

for (const backend of ['legacy', 'nft'] as const) {
  describeInNamespaces(`iptables-${backend}, as a firewall driver`, function () {
    this.timeout(30_000);
    let world: World;
    let inner: Inner;
    let inside: Agent;
    let gateway: Agent;
    let outside: Agent;

    before(async () => {
      world = await createWorld();
      inner = await joinInner(world);
      inside = await startAgent(inner.space);
      await inside.echo({ port: 22 });
      [gateway, outside] = await Promise.all([startAgent(world.gateway), startAgent(world.outside)]);
      for (const port of [22, 8443]) await gateway.echo({ port });
      await gateway.echoDatagrams({ port: 5353 });
    });

    after(async () => {
      await Promise.all([inside.stop(), gateway.stop(), outside.stop()]);
      await inner.destroy();
      await world.destroy();
    });

    const remote = (): FirewallDriver => ({
      name: 'iptables',
      real: true,
      async setup(services) {
        await gateway.setup({ backend, services });
      },
      async open(grant) {
        await gateway.open(grant);
      },
      async close(grant) {
        await gateway.close(grant);
      },
      list: () => gateway.list(null),
      async teardown() {
        await gateway.teardown(null);
      },
    });

    const cases = driverConformance({
      make: () => Promise.resolve(remote()),
      elapse: (_driver, ms) => pause(ms),
      sources: ['10.77.0.2', 'fd77::2'],
      forwarded: NAS,
      refused: { name: 'many', protocol: 'tcp', port: 4000, openForMs: 3000, connections: 17 },
      async admits(_driver, { protocol, port }, source) {
        const request = { host: source.includes(':') ? 'fd77::1' : '10.77.0.1', port, source };
        return protocol === 'udp'
          ? outside.ask(request)
          : (await outside.connect(request)).outcome === 'talks';
      },
    });
    for (const { title, run } of cases) it(title, run);
  });
}

describeInNamespaces('live capture, as a packet source', function () {
  this.timeout(30_000);

  // On the loopback of this process: a namespace of its own would need a process of its own.
  const cases = sourceConformance('liveCapture', () => {
    const socket = createSocket('udp4');
    return {
      source: liveCapture({ interface: 'lo' }),
      broken: liveCapture({ interface: 'nope7' }),
      send() {
        for (const text of ['one', 'two', 'three']) socket.send(text, 40_404, '127.0.0.1');
      },
      dispose() {
        socket.close();
      },
    };
  });
  for (const { title, run } of cases) it(title, run);
});
