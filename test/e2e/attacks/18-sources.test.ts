// Attack 18: whom a grant is for. Valid knocks from sources that nobody can have open nothing, nor do claims of an
// address that the packet does not have; text is never one.

import assert from 'node:assert/strict';
import { attack, onBoth } from './attack.ts';

const IMPOSSIBLE = {
  4: [
    '0.0.0.0',
    '0.1.2.3',
    '127.0.0.1',
    '224.0.0.1',
    '239.255.255.250',
    '240.0.0.1',
    '255.255.255.255',
    '10.77.0.1',
  ],
  6: ['::', '::1', 'ff02::1', 'ff0e::1', 'fd77::1', '::ffff:10.77.0.2'],
};

attack('18. valid knocks from sources that cannot be', () => {
  for (const family of [4, 6] as const) {
    for (const src of IMPOSSIBLE[family]) {
      onBoth(`open nothing: ${src}`, async (field) => {
        const grants = field.gateway.of('grant').length;
        const knock = await field.sealed('bob', { family });
        await field.inject([field.datagram(knock, { family, src })]);
        // The refusal spent nothing: the same knock opens where it comes from the client.
        const grant = await field.granted(() => field.inject([field.datagram(knock, { family })]));
        assert.equal(grant.source, field.world.client[family]);
        assert.equal(field.gateway.of('grant').length, grants + 1);
        await field.used({ family });
      });
    }

    onBoth(`open nothing: a claim of another address or a wide prefix (IPv${family})`, async (field) => {
      const grants = field.gateway.of('grant').length;
      const wide = family === 4 ? ['0.0.0.0/0', '10.0.0.0/8'] : ['::/0', 'fd00::/16'];
      for (const claim of [...IMPOSSIBLE[family].slice(0, 5), ...wide, field.world.stranger[family]]) {
        const packets = [await field.sealed('alice', { family, claim })];
        await field.outside.datagrams({ packets });
      }
      const claim = field.world.client[family];
      const grant = await field.granted(async () =>
        field.outside.datagrams({ packets: [await field.sealed('alice', { family, claim })] }),
      );
      assert.equal(grant.source, claim);
      assert.equal(field.gateway.of('grant').length, grants + 1);
      await field.used({ family });
    });
  }
});
