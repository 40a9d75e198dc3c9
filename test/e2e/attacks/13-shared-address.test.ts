// Attack 13: another host behind the same address connects first. There is one connection in all, the use is reported,
// and a fresh knock opens again. Real knockd lets in whoever has the address, as often as he likes.

import assert from 'node:assert/strict';
import { startAgent, type Agent } from '../../support/agent.ts';
import { until } from '../support.ts';
import { attack, onBoth, onKnockd } from './attack.ts';
import { type Field } from './field.ts';

attack('13. a neighbour behind the same address', () => {
  /** The neighbour is another program on the client's host. */
  const beside = (body: (field: Field, neighbour: Agent) => Promise<void>) => async (field: Field) => {
    const neighbour = await startAgent(field.world.outside);
    await body(field, neighbour).finally(() => neighbour.stop());
  };

  for (const family of [4, 6] as const) {
    onBoth(
      `gets the one connection if he is first, which is reported, and a fresh knock opens again (IPv${family})`,
      beside(async (field, neighbour) => {
        const [host, source] = [field.world.address[family], field.world.client[family]];
        const target = { host, source, port: 22 };
        const { id } = await field.granted(() => field.spa('alice', { family }).knock());
        const stolen = await neighbour.connect(target);
        assert.equal(stolen.outcome, 'talks');
        assert.equal(await field.connect({ family }), 'refused', 'the client');
        assert.equal((await neighbour.connect(target)).outcome, 'refused', 'the neighbour again');
        const closes = (): unknown => field.gateway.of('close').find((close) => close.id === id)?.reason;
        assert.equal(await until('it is closed', closes), 'used');
        await field.granted(() => field.spa('alice', { family }).knock());
        await field.used({ family });
      }),
    );
  }

  onKnockd(
    'is let in by real knockd beside the client, again and again',
    beside(async (field, neighbour) => {
      const { port } = field.knockd;
      await field.knockd.start();
      await field.inject(field.plain());
      assert.ok(await field.knockd.opens());
      const target = { host: field.world.address[4], source: field.world.client[4], port };
      for (const host of [neighbour, field.outside, neighbour])
        assert.equal((await host.connect(target)).outcome, 'talks');
    }),
  );
});
