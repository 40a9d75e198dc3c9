// A flood of forged first knocks: memory stays, true knocks get in while it lasts, nothing expires late (attack 9).

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, createWriteStream } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SYN } from '../../lib/packet/view.ts';
import { startAgent, type Agent } from '../support/agent.ts';
import { frame } from '../support/frames.ts';
import { configFor, Gateway, Site } from '../support/gateway.ts';
import { createWorld, finished, type World } from '../support/netns.ts';
import { pcapHeader, pcapPacket } from '../support/savefile.ts';
import { FieldClient, describeInNamespaces, pause } from './support.ts';

const FORGED = 1_000_000;
const PLAIN = '  plain: { scheme: sequence, sequence: [7000/tcp, 8000/tcp, 9000/tcp], services: [ssh] }';

describeInNamespaces(`a flood of ${FORGED.toLocaleString('en')} forged first knocks`, function () {
  this.timeout(180_000);
  const folder = mkdtempSync(join(tmpdir(), 'portknock-flood-'));
  let world: World;
  let outside: Agent;
  let site: Site;
  let gateway: Gateway;

  before(async () => {
    world = await createWorld();
    outside = await startAgent(world.outside);
    site = await Site.create(world, configFor({ clients: PLAIN, openFor: '2s' }));
    gateway = await Gateway.start(world, site);
    await writeForged(join(folder, 'forged.pcap'), world);
  });

  after(async () => {
    await gateway.end();
    await outside.stop();
    await site.remove();
    await world.destroy();
    rmSync(folder, { recursive: true });
  });

  it('neither grows memory, nor keeps true knocks out, nor delays an expiry', async () => {
    const args = ['-q', '-K', '--pps=50000', '-i', 'out0', join(folder, 'forged.pcap')];
    // A short one first, so that everything which is allocated once is there.
    await world.outside.must('tcpreplay', ['--limit=100000', ...args]);
    const before = await gateway.memory();
    const flood = finished(world.outside.spawn('tcpreplay', args, { stdio: ['ignore', 'pipe', 'pipe'] }));
    let over = false;
    void flood.then(() => (over = true));
    const field = new FieldClient(outside, world.address[4]);
    const latenesses: number[] = [];
    let knocks = 0;
    while (!over) {
      await pause(300);
      if (over) break;
      knocks += 1;
      if (knocks % 2 === 0) await field.knock();
      else
        await world.outside.must('knock', ['-d', '0', world.address[4], '7000:tcp', '8000:tcp', '9000:tcp']);
      const grant = await gateway.wait('grant', { count: knocks, timeoutMs: 5000 });
      await gateway.wait('close', { count: knocks, timeoutMs: 10_000 });
      const close = gateway.of('close').find(({ id }) => id === grant.id);
      latenesses.push(Date.parse(close?.time ?? '') - Date.parse(String(grant.open_until)));
    }
    assert.equal((await flood).status, 0);
    const grown = (await gateway.memory()) - before;
    console.log(
      `      ${knocks} true knocks during the flood, all let in; latest expiry ${Math.max(...latenesses)} ms late; ` +
        `memory grew by ${(grown / 2 ** 20).toFixed(1)} MB`,
    );
    assert.ok(knocks >= 4, `the flood must last for some knocks, got ${knocks}`);
    assert.ok(Math.max(...latenesses) < 1000);
    assert.ok(grown < 16 * 2 ** 20, `memory grew by ${grown} bytes`);
  });
});

/** A million SYNs to the first port of the plain sequence, each from its own address, IPv4 and IPv6 by turns. */
async function writeForged(path: string, world: World): Promise<void> {
  const file = createWriteStream(path);
  file.write(pcapHeader());
  // Addresses and sequence numbers are patched into two templates; the checksums are wrong, and nobody looks.
  const v4 = pcapPacket(
    frame({ src: '10.77.0.9', dst: world.address[4], protocol: 'tcp', dstPort: 7000, flags: SYN }),
  );
  const v6 = pcapPacket(
    frame({ src: 'fd77::9', dst: world.address[6], protocol: 'tcp', dstPort: 7000, flags: SYN }),
  );
  for (let i = 0; i < FORGED; i += 10_000) {
    const chunk = Array.from({ length: 10_000 }, (_, j) => {
      const packet = Buffer.from((i + j) % 2 === 0 ? v4 : v6);
      if ((i + j) % 2 === 0) packet.writeUInt32BE(0x0b000000 + (i + j) * 13, 16 + 14 + 12);
      else packet.writeUInt32BE((i + j) * 4001, 16 + 14 + 8 + 4);
      return packet;
    });
    if (!file.write(Buffer.concat(chunk))) await once(file, 'drain');
  }
  file.end();
  await once(file, 'close');
}
