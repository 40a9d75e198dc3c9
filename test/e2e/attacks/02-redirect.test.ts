// Attack 2: a knock is sniffed, kept from the gateway, and sent from the attacker's own address. A bound knock is refused
// there; an unbound one opens for who sends it, as SECURITY.md says. Real knockd knows nothing but the sender's address.

import assert from 'node:assert/strict';
import { attack, onBoth, onKnockd } from './attack.ts';

attack("2. a knock, sent from the attacker's address instead", () => {
  for (const family of [4, 6] as const) {
    onBoth(`opens nothing when it is bound to its client's address (IPv${family})`, async (field) => {
      const [client, stranger] = [field.world.client[family], field.world.stranger[family]];
      const packets = [await field.sealed('exact', { family, claim: client })];
      const reason = await field.refused(() => field.outside.datagrams({ packets, source: stranger }));
      assert.equal(reason, 'source-mismatch');
      for (const source of [client, stranger])
        assert.equal(await field.connect({ family, source }), 'refused');
      const { source } = await field.granted(() => field.outside.datagrams({ packets, source: client }));
      assert.equal(source, client);
      assert.equal(await field.connect({ family, source: stranger }), 'refused');
      await field.used({ family });
    });

    onBoth(`is refused when its client must bind its knocks and did not (IPv${family})`, async (field) => {
      assert.equal(await field.refused(() => field.spa('exact', { family }).knock()), 'bind-refused');
      assert.equal(await field.connect({ family }), 'refused');
    });

    onBoth(`opens for its sender alone when it is not bound, once (IPv${family})`, async (field) => {
      const [client, source] = [field.world.client[family], field.world.stranger[family]];
      const packets = [await field.spa('alice', { family }).fresh()];
      const grant = await field.granted(() => field.outside.datagrams({ packets, source }));
      assert.equal(grant.source, source);
      assert.equal(await field.connect({ family, source: client }), 'refused');
      await field.used({ family, source });
      assert.equal(await field.refused(() => field.outside.datagrams({ packets })), 'replayed');
    });

    onKnockd(`opens real knockd for the attacker (IPv${family})`, async (field) => {
      const source = field.world.stranger[family];
      await field.knockd.start();
      await field.inject(field.plain({ family, src: source }));
      assert.ok(await field.knockd.opens({ family }));
      assert.equal(await field.connect({ family, source, port: field.knockd.port }), 'talks');
    });
  }
});
