// Attack 9: forged first knocks from ever new addresses, of both families, as fast as a link of that kind carries them.
// Memory stays, true knocks get in meanwhile, nothing expires late. Real knockd lets nobody in when 30,000 a second come.

import assert from 'node:assert/strict';
import { createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { finished } from '../../support/netns.ts';
import { pcapHeader, pcapPacket } from '../../support/savefile.ts';
import { pause } from '../support.ts';
import { attack, onBoth, onKnockd } from './attack.ts';
import { KNOCKD, PLAIN } from './clients.ts';
import { type Field } from './field.ts';

const FORGED = process.env.PORTKNOCK_SLOW === '1' ? 1_000_000 : 125_000;
const PER_SECOND = 25_000;
/** A collector's swing; 200 bytes an address would be more, 25 of them in the slow form. */
const MOST_GROWTH = 24 * 2 ** 20;

attack(`9. a flood of ${FORGED.toLocaleString('en')} forged first knocks`, () => {
  const folder = mkdtempSync(join(tmpdir(), 'portknock-flood-'));
  after(() => {
    rmSync(folder, { recursive: true });
  });

  onBoth(
    'neither grows memory, nor keeps true knocks out, nor delays an expiry',
    async (field) => {
      const file = join(folder, `${field.driver}.pcap`);
      const { gateway } = field;
      const args = ['-q', '-K', `--pps=${PER_SECOND}`, '-i', 'out0', file];
      // As many of other addresses first, so that everything which is allocated once is there.
      await writeForged(file, field, FORGED);
      await field.world.outside.must('tcpreplay', args);
      await writeForged(file, field, 0);
      const before = await gateway.memory();
      const flood = finished(
        field.world.outside.spawn('tcpreplay', args, { stdio: ['ignore', 'pipe', 'pipe'] }),
      );
      let over = false;
      void flood.then(() => (over = true));
      const ways = [
        () => field.oneTime().knock(),
        () => field.knock(PLAIN),
        () => field.spa('alice').knock(),
        () => field.spa('alice', { family: 6 }).knock(),
      ];
      let knocks = 0;
      let latest = 0;
      while (!over) {
        await pause(200);
        if (over) break;
        knocks += 1;
        const { id, open_until: until } = await admitted(field, ways[knocks % ways.length] ?? ways[0]!);
        if (knocks % 3 !== 0) {
          await field.used({ family: knocks % ways.length === 3 ? 6 : 4 });
          continue;
        }
        const closed = (): string | undefined => gateway.of('close').find((close) => close.id === id)?.time;
        while (closed() === undefined)
          await gateway.wait('close', { count: gateway.of('close').length + 1, timeoutMs: 5000 });
        latest = Math.max(latest, Date.parse(closed() ?? '') - Date.parse(String(until)));
      }
      assert.equal((await flood).status, 0);
      const grown = (await gateway.memory()) - before;
      console.log(
        `      ${field.driver}: ${knocks} true knocks during the flood, all let in within three tries; latest expiry ${latest} ms late; ` +
          `memory grew by ${(grown / 2 ** 20).toFixed(1)} MB`,
      );
      assert.ok(knocks >= 3, `the flood must last for some knocks, got ${knocks}`);
      assert.ok(latest < 1000);
      assert.ok(grown < MOST_GROWTH, `memory grew by ${grown} bytes`);
    },
    { config: { openFor: '2s' }, timeoutMs: 120_000, alone: true },
  );

  onKnockd('of 30,000 a second lets nobody in to real knockd', async (field) => {
    await field.knockd.start();
    const [first] = field.plain();
    const forged = Array.from({ length: 75_000 }, (_, i) => {
      const packet = Buffer.from(first as Buffer);
      packet.writeUInt32BE(0x0a500000 + i, 14 + 12);
      return packet;
    });
    const flood = field.inject(forged, 30_000);
    await pause(1500);
    for (let knock = 0; knock < 4; knock += 1)
      await field.world.outside.must('knock', ['-4', '-d', '0', field.world.address[4], ...KNOCKD]);
    assert.equal(await field.knockd.opens({ timeoutMs: 600 }), false);
    await flood;
  });
});

/** Knocks as a client does that waits: with a fresh one when nothing comes of it, which a host that is short of time may do. */
async function admitted(
  field: Field,
  knock: () => Promise<unknown>,
): Promise<Readonly<Record<string, unknown>>> {
  const count = field.gateway.of('grant').length + 1;
  for (let tries = 1; tries < 3; tries += 1) {
    await knock();
    const grant = await field.gateway.wait('grant', { count, timeoutMs: 1500 }).catch(() => null);
    if (grant !== null) return grant;
  }
  await knock();
  return field.gateway.wait('grant', { count });
}

/** SYNs to the first port of a plain sequence, each from its own address, the families by turns, each IPv6 /64 its own. */
async function writeForged(path: string, field: Field, from: number): Promise<void> {
  const file = createWriteStream(path);
  file.write(pcapHeader());
  // Addresses and sequence numbers are patched into two templates; the checksums are wrong, and nobody looks.
  const [v4, v6] = ([4, 6] as const).map((family) =>
    pcapPacket(field.packet({ family, protocol: 'tcp', dstPort: 7000 })),
  );
  for (let i = from; i < from + FORGED; i += 12_500) {
    const chunk = Array.from({ length: 12_500 }, (_, j) => {
      const packet = Buffer.from(((i + j) % 2 === 0 ? v4 : v6) as Buffer);
      if ((i + j) % 2 === 0) packet.writeUInt32BE(0x0b000000 + (i + j) * 13, 16 + 14 + 12);
      else packet.writeUInt32BE((i + j) * 2003, 16 + 14 + 8 + 4);
      return packet;
    });
    if (!file.write(Buffer.concat(chunk))) await once(file, 'drain');
  }
  file.end();
  await once(file, 'close');
}
