// On a host that accepts, a protected port answers every odd segment with the very bytes that a closed port answers:
// flags, sequence numbers, windows, options, hop limits. (Known and documented: a reset made by the firewall does not
// echo the probe's TOS byte, as the kernel's own does.)

import assert from 'node:assert/strict';
import type { Service } from '../../lib/firewall/driver.ts';
import { startAgent, type Agent } from '../support/agent.ts';
import { frame } from '../support/frames.ts';
import { createWorld, type World } from '../support/netns.ts';
import { leaving, type Leaving } from './leaving.ts';
import { inject, describeInNamespaces, pause } from './support.ts';

const ssh: Service = { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 20_000, connections: 1 };
const FLAGS = [2, 18, 16, 1, 4, 20, 0, 41, 17, 3, 6, 2 | 64 | 128, 2 | 8, 24];
const OPTIONS = Buffer.from('020405b40101080a0000000100000000', 'hex');
const VARIANTS = [{}, { payload: 'hello' }, { ttl: 3 }, { tcpOptions: OPTIONS }, 'bad checksum'] as const;

for (const backend of ['legacy', 'nft'] as const) {
  describeInNamespaces(`odd segments to a protected port (iptables-${backend})`, function () {
    this.timeout(120_000);
    let world: World;
    let gateway: Agent;

    before(async () => {
      world = await createWorld();
      gateway = await startAgent(world.gateway);
      await gateway.setup({ backend, services: [ssh] });
      await gateway.echo({ port: 22 });
    });

    after(async () => {
      await gateway.stop();
      await world.destroy();
    });

    for (const family of [4, 6] as const) {
      it(`are answered like those to a closed port (IPv${family})`, async () => {
        const segments = FLAGS.flatMap((flags) => VARIANTS.map((variant) => ({ flags, variant })));
        const frames = segments.flatMap(({ flags, variant }, i) =>
          [22, 23].map((dstPort) =>
            frame({
              ...{ src: world.client[family], dst: world.address[family], protocol: 'tcp', dstPort, flags },
              ...{ srcPort: 50_000 + i, seq: 1000 + i },
              ...(variant === 'bad checksum'
                ? { patch: (ip: Buffer) => void ip.writeUInt16BE(0xdead, family === 4 ? 36 : 56) }
                : variant),
            }),
          ),
        );
        const answers = await answersTo({ world, inside: gateway }, family, () => inject(world, frames, 500));
        const [hidden, closed] = [22, 23].map((port) => answers.get(port) ?? new Map<number, string>());
        assert.ok(closed !== undefined && closed.size > segments.length / 2, `only ${closed?.size} answers`);
        assert.deepEqual(hidden, closed);
      });
    }
  });
}

/** What leaves the gateway, by its source port and destination port, without what differs by itself. */
async function answersTo(
  from: Pick<Leaving, 'world' | 'inside'>,
  family: 4 | 6,
  run: () => Promise<void>,
): Promise<Map<number, Map<number, string>>> {
  const args = ['-x', '-B', '8192'];
  const lines = await leaving({ ...from, args, filter: 'tcp or (ip6 and ip6[6] = 6)' }, async () => {
    await run();
    await pause(500);
  });
  const answers = new Map<number, Map<number, string>>();
  for (const part of lines.join('\n').split(/\n(?=\d\d:)/u)) {
    const hex = part.replace(/^.*\n/u, '').replace(/^\s*0x[0-9a-f]+:|\s/gmu, '');
    const bytes = Buffer.from(hex, 'hex');
    const tcp = family === 4 ? 20 : 40;
    if (bytes.length < tcp + 20) continue;
    const [srcPort, dstPort] = [bytes.readUInt16BE(tcp), bytes.readUInt16BE(tcp + 2)];
    bytes.writeUInt16BE(0, tcp); // the port itself
    bytes.writeUInt16BE(0, tcp + 16); // its checksum
    if (family === 4) bytes.fill(0, 10, 12); // the header's checksum
    if (family === 4)
      bytes.fill(0, 4, 6); // the identification
    else bytes.fill(0, 1, 4); // the flow label
    answers.set(
      srcPort,
      (answers.get(srcPort) ?? new Map<number, string>()).set(dstPort, bytes.toString('hex')),
    );
  }
  return answers;
}
