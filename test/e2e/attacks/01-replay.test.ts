// Attack 1: a whole knock is sniffed and sent again: at once, later, after restarts, to another gateway with the same keys.
// Real knockd opens to it every time.

import assert from 'node:assert/strict';
import type { Datagram } from '../../support/agent.ts';
import { attack, onBoth, onKnockd } from './attack.ts';

attack('1. a sniffed knock, sent again', () => {
  onBoth(
    'opens nothing: at once, after a restart or kill -9, from either host (IPv4 and IPv6)',
    async (field) => {
      const families = [4, 6] as const;
      const sniffed = new Map<4 | 6, readonly Datagram[]>();
      for (const family of families) {
        const oneTime = field.oneTime(family);
        const spa = field.spa('alice', { family });
        const sent: Datagram[] = [];
        await field.granted(async () => sent.push(await spa.knock()));
        await field.used({ family });
        await field.granted(() => oneTime.knock());
        await field.used({ family });
        sniffed.set(family, [...sent, ...oneTime.sent]);
      }
      const again = async (when: string): Promise<void> => {
        const grants = field.gateway.of('grant').length;
        for (const family of families) {
          const [client, stranger] = [field.world.client[family], field.world.stranger[family]];
          const packets = sniffed.get(family) ?? [];
          for (const source of [client, stranger]) await field.outside.datagrams({ packets, source });
          // A fresh one comes after them, so the gateway has seen them all.
          await field.granted(() => field.spa('bob', { family }).knock());
          await field.used({ family });
          for (const source of [client, stranger])
            assert.equal(await field.connect({ family, source }), 'refused', `${when}, from ${source}`);
        }
        assert.equal(field.gateway.of('grant').length, grants + families.length, when);
        const reasons = new Set(field.gateway.of('reject').map(({ reason }) => reason));
        assert.ok(reasons.has('replayed'), when);
      };
      await again('at once');
      await field.restarted();
      await again('after a restart');
      await field.restarted('SIGKILL');
      await again('after kill -9');
    },
  );

  onBoth('opens nothing at another gateway that has the same keys', async (field) => {
    const datagram = await field.spa('alice').fresh();
    await field.configured({ gateway: 'other.example' });
    assert.equal(await field.refused(() => field.spa('alice').send(datagram)), 'audience');
    await field.granted(() => field.spa('alice', { gateway: 'other.example' }).knock());
    await field.used();
  });

  onKnockd('opens real knockd, also after its restart', async (field) => {
    const { knockd } = field;
    const knocks = field.plain();
    await knockd.start();
    for (const when of ['the true knock', 'the replay', 'the replay after a restart']) {
      if (when !== 'the true knock') await knockd.start();
      await field.inject(knocks);
      assert.ok(await knockd.opens(), when);
      const { port } = knockd;
      assert.equal(await field.connect({ port }), 'talks', when);
    }
  });
});
