// Attack 10: two and fifty sources knock at the same time, and one source at two doors. Real knockd forgets everybody
// when the one at the head of its list is done.

import assert from 'node:assert/strict';
import { isLate } from '../granted.ts';
import { until } from '../support.ts';
import { attack, onBoth, onKnockd } from './attack.ts';
import { DOOR, PLAIN } from './clients.ts';

const SOURCES = {
  4: (i: number) => `10.77.0.${100 + i}`,
  6: (i: number) => `fd77::${(256 + i).toString(16)}`,
};

attack('10. knocks of many at once', () => {
  for (const family of [4, 6] as const) {
    // Another service each, or there would be more openings at once than xt_recent holds unless it is told to.
    const knocks = family === 4 ? PLAIN : DOOR;
    for (const count of [2, 50]) {
      onBoth(`open for all ${count} sources whose knocks alternate (IPv${family})`, async (field) => {
        const { gateway } = field;
        const before = gateway.of('grant').length;
        const all = Array.from({ length: count }, (_, i) => SOURCES[family](i));
        const left = (): string[] => {
          const grants = gateway.of('grant').slice(before);
          return all.filter((src) => !grants.some(({ source }) => source === src));
        };
        // More than once only if a firewall that was too slow asks for it.
        while (left().length > 0) {
          const seen = gateway.events.length;
          const frames = left().map((src, i) => field.plain({ family, src, srcPort: 30_000 + i }, knocks));
          await field.inject(knocks.flatMap((_, knock) => frames.map((each) => each[knock] as Buffer)));
          await until('all are let in', () => left().length === 0 || gateway.events.slice(seen).some(isLate));
        }
      });
    }

    onBoth(`open two doors for one source whose knocks alternate (IPv${family})`, async (field) => {
      const before = field.gateway.of('grant').length;
      const [one, two] = [await field.oneTime(family).fresh(), await field.oneTime(family).fresh()];
      await field.inject(
        one.flatMap((knock, i) => [knock, two[i] ?? knock].map((each) => field.datagram(each, { family }))),
      );
      await field.gateway.wait('grant', { count: before + 2 });
      const clients = field.gateway
        .of('grant')
        .slice(before)
        .map(({ client }) => client);
      assert.equal(new Set(clients).size, 2);
      await field.used({ family });
    });
  }

  onKnockd('do not all open real knockd', async (field) => {
    await field.knockd.start();
    const first = field.plain({ src: field.world.client[4] });
    const second = field.plain({ src: field.world.stranger[4] });
    // The second is half through when the first, who is at the head of the list, comes to its end.
    const [a, b, c] = first;
    const [d, e, f] = second;
    await field.inject(
      [a, d, b, e, c, f].map((syn) => syn as Buffer),
      50,
    );
    assert.ok(await field.knockd.opens());
    assert.equal(await field.knockd.opens({ count: 2, timeoutMs: 500 }), false);
  });
});
