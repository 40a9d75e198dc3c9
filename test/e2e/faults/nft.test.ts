// The one nft of a running gateway is killed: it is said, the next knock opens, and whatever was under way opens once or
// not at all. (By driver, with kills at every moment, hangs and failing starts: ../nftables-faults.test.ts. Weakened: an
// nft that ended not said: went red.)

import assert from 'node:assert/strict';
import type { Event } from '../../support/gateway.ts';
import { pause } from '../support.ts';
import { describeAttack, type Field } from '../attacks/field.ts';
import { until } from './bench.ts';
import { childOf } from './resuming.ts';

const ROUNDS = 8;

describeAttack(
  'the nft of a gateway, killed',
  (get) => {
    before(() => get().renewed());

    it('with nothing under way is said, and the next knock opens for one connection', async () => {
      const field = get();
      for (const family of [4, 6] as const) {
        await field.granted(() => field.spa('alice', { family }).knock());
        await field.used({ family });
        if (family === 4) {
          process.kill(nftOf(field), 'SIGKILL');
          await until(field.gateway, isOfNft);
        }
        await field.granted(() => field.spa('alice', { family }).knock());
        await field.used({ family });
        assert.equal(await field.connect({ family }), 'refused');
      }
    });

    it('over an opening leaves it as it is, and it is reported as used', async () => {
      const field = get();
      const { id } = await field.granted(() => field.spa('alice').knock());
      process.kill(nftOf(field), 'SIGKILL');
      await field.used();
      assert.equal(await field.connect(), 'refused');
      const close = await until(field.gateway, (event) => event.event === 'close' && event.id === id);
      assert.equal(close.reason, 'used');
    });

    it('under knocks opens each for one connection, or refuses it and opens nothing', async () => {
      const field = get();
      for (let round = 0; round < ROUNDS; round += 1) {
        const family = round % 2 === 0 ? 4 : 6;
        const pid = nftOf(field);
        const from = field.gateway.events.length;
        const datagram = await field.sealed('both', { family, services: ['ssh', 'web'] });
        const sent = field.outside.datagrams({ packets: [datagram] });
        await pause(round / 2);
        process.kill(pid, 'SIGKILL');
        await sent;
        const { event } = await until(
          field.gateway,
          (one) => one.event === 'grant' || one.reason === 'grant-failed',
          from,
        );
        for (const port of [22, 443]) {
          const outcomes = [await field.connect({ family, port }), await field.connect({ family, port })];
          assert.deepEqual(outcomes, [event === 'grant' ? 'talks' : 'refused', 'refused'], `round ${round}`);
        }
        await field.granted(() => field.spa('alice', { family }).knock());
        await field.used({ family });
      }
      assert.ok(field.gateway.events.filter(isOfNft).length <= 3, 'they are not said one by one');
    });
  },
  ['nftables'],
);

function isOfNft({ event, message }: Event): boolean {
  const text = /^nft was killed by SIGKILL(?:, and \d+ times before)?: the next change starts another \(/u;
  return event === 'warning' && text.test(String(message));
}

/** The one that runs. */
function nftOf({ gateway }: Field): number {
  return childOf(gateway, /^nft\0/u) ?? assert.fail('no nft runs');
}
