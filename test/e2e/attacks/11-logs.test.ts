// Attack 11: what an attacker can make a gateway write. Refusals are counted, not listed; nothing of a packet is written
// but its address; nobody is asked for the name of an address. Real knockd writes a line for each forged packet.

import assert from 'node:assert/strict';
import type { Event } from '../../support/gateway.ts';
import { finished } from '../../support/netns.ts';
import { until } from '../support.ts';
import { attack, onBoth, onKnockd } from './attack.ts';

const MANY = 2000;

attack('11. a flood of what is worth a line', () => {
  for (const family of [4, 6] as const) {
    onBoth(`writes a few lines, whose counts say how many there were (IPv${family})`, async (field) => {
      const datagram = await field.sealed('bob', { family });
      await field.granted(() => field.inject([field.datagram(datagram, { family })]));
      await field.used({ family });
      // Another source each time, or the same one would be taken for the network's copy.
      const replays = Array.from({ length: MANY }, (_, i) => {
        const src = family === 4 ? `10.78.${i >> 8}.${i & 255}` : `fd78::${i.toString(16)}`;
        return field.datagram(datagram, { family, src });
      });
      const before = field.gateway.events.length;
      await field.inject(replays, 4000);
      const events = (): readonly Event[] =>
        field.gateway.events.slice(before).filter(({ reason }) => reason === 'replayed');
      const counted = (): number => events().reduce((sum, { count }) => sum + Number(count ?? 1), 0);
      await until('all are counted', () => counted() >= MANY);
      assert.equal(counted(), MANY);
      const lines = events().length;
      assert.ok(lines < 8, `${lines} lines`);
    });
  }

  onBoth('writes nothing of what packets contain, and looks no name up', async (field) => {
    const asked = field.world.gateway.spawn('tcpdump', ['-lnUi', 'any', 'port 53'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const done = finished(asked);
    await new Promise((resolve) => asked.stderr?.once('data', resolve));
    const before = field.gateway.events.length;
    const text = '\u001b[31mOPEN SESAME\u001b[0m\r\n{"event":"grant"}\n'.repeat(8).slice(0, 300);
    const knocks = await field.oneTime().fresh();
    const [port = 0] = knocks.map((knock) => knock.port);
    await field.inject([
      field.packet({ dstPort: 62_201, payload: text }),
      field.packet({ dstPort: port, payload: text.slice(0, 16) }),
      // This one is worth a line: a right tag on a wrong port.
      field.datagram({ ...(knocks[0] ?? { host: '', payload: '' }), port: 20_001 }),
      field.datagram(await field.sealed('alice', { atMs: 1 })),
    ]);
    await field.granted(() => field.spa('alice').knock());
    await field.used();
    asked.kill('SIGTERM');
    const lines = JSON.stringify(field.gateway.events.slice(before));
    assert.match(lines, /"reject"/u);
    assert.doesNotMatch(lines, /OPEN|SESAME|\\u001b|\\n/u);
    assert.equal((await done).stdout.trim(), '');
  });

  onKnockd('makes real knockd write a line each', async (field) => {
    await field.knockd.start();
    const forged = Array.from(
      { length: 500 },
      (_, i) => field.plain({ src: `10.78.1.${i % 250}` })[0] as Buffer,
    );
    await field.inject(forged, 2000);
    const lines = async (): Promise<number> =>
      (await field.knockd.log()).split('\n').filter((line) => line.includes('Stage 1')).length;
    await until('there are more than 200 lines', async () => (await lines()) > 200);
  });
});
