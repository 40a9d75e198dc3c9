// Attack 9: forged first knocks from ever new addresses, of both families, as fast as a link of that kind carries them.
// Memory stays, true knocks get in meanwhile, nothing expires late. Real knockd lets nobody in when 30,000 a second come.

import assert from 'node:assert/strict';
import { createWriteStream, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pcapHeader, pcapPacket } from '../../support/savefile.ts';
import { pause, until } from '../support.ts';
import { attack, onBoth, onKnockd } from './attack.ts';
import { KNOCKD, PLAIN } from './clients.ts';
import { type Field } from './field.ts';

const FORGED = process.env.PORTKNOCK_SLOW === '1' ? 1_000_000 : 125_000;
const PER_SECOND = 25_000;
/** A collector's swing; 200 bytes an address would be more, 25 of them in the slow form. */
const MOST_GROWTH = 24 * 2 ** 20;
const OPEN_MS = 3000;
/** True knocks: what is said of their grants, and what sends them. */
const WAYS: readonly [Way, ...Way[]] = [
  ['sequence', 4, (field) => field.knock(PLAIN)],
  ['spa', 4, (field) => field.spa('alice').knock()],
  ['spa', 6, (field) => field.spa('alice', { family: 6 }).knock()],
  ['one-time', 4, (field) => field.oneTime().knock()],
];
type Way = readonly [scheme: string, family: 4 | 6, knock: (field: Field) => Promise<unknown>];

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
      let knocks = 0;
      const flooded = async (): Promise<void> => {
        // However slow the machine is, some knocks come during it.
        do await field.world.outside.must('tcpreplay', args);
        while (knocks < 3);
      };
      let over = false;
      const flood = flooded().finally(() => (over = true));
      let latest = 0;
      while (!over) {
        await pause(200);
        const [scheme, family, knock] = WAYS[knocks % WAYS.length] ?? WAYS[0];
        const source = field.world.client[family];
        const { id } = await field.admitted(
          () => knock(field),
          (grant) => grant.scheme === scheme && grant.source === source,
        );
        knocks += 1;
        if (knocks % 3 !== 0) {
          await field.used({ family });
          continue;
        }
        // The kernel's time began before this.
        const ends = Date.now() + OPEN_MS;
        await pause(OPEN_MS + 150);
        assert.equal(await field.connect({ family }), 'refused', 'its time is over');
        const close = await gateway.find(`end of ${String(id)}`, () =>
          gateway.of('close').find((event) => event.id === id),
        );
        latest = Math.max(latest, Date.parse(close.time) - ends);
      }
      await flood;
      const grown = (await gateway.memory()) - before;
      console.log(
        `      ${field.driver}: ${knocks} true knocks during the flood, all let in within three tries; latest expiry told ${latest} ms late; ` +
          `memory grew by ${(grown / 2 ** 20).toFixed(1)} MB`,
      );
      assert.ok(grown < MOST_GROWTH, `memory grew by ${grown} bytes`);
    },
    { config: { openFor: `${OPEN_MS / 1000}s` }, timeoutMs: 240_000, alone: true },
  );

  onKnockd('of 30,000 a second lets nobody in to real knockd', async (field) => {
    await field.knockd.start();
    const [first] = field.plain();
    const forged = Array.from({ length: 150_000 }, (_, i) => {
      const packet = Buffer.from(first as Buffer);
      packet.writeUInt32BE(0x0a500000 + i, 14 + 12);
      return packet;
    });
    const before = received(field);
    const flood = field.inject(forged, 30_000);
    await until('a second of it has come', () => received(field) > before + 30_000);
    for (let knock = 0; knock < 4; knock += 1)
      await field.world.outside.must('knock', ['-4', '-d', '0', field.world.address[4], ...KNOCKD]);
    assert.equal(await field.knockd.opens({ timeoutMs: 600 }), false);
    await flood;
  });
});

/** How many packets have come to the gateway's host. */
function received({ world: { gateway, device } }: Field): number {
  const table = readFileSync(`/proc/${gateway.pid}/net/dev`, 'latin1');
  return Number(new RegExp(`${device}: *\\d+ +(\\d+)`, 'u').exec(table)?.[1]);
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
