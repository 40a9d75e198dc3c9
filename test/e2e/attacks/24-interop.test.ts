// Attack 24: the real `knock` opens ours, without a pause between its packets, and our client opens real knockd. That ours
// runs knockd's own configurations is in test/e2e/knockd-file.test.ts.

import assert from 'node:assert/strict';
import { formatProfile, type Profile } from '../../../lib/knocker.ts';
import { attack, onBoth, onKnockd } from './attack.ts';
import { DOOR, PLAIN } from './clients.ts';

const SEQUENCES = {
  tcp3: PLAIN,
  udp3: ['2200:udp', '1100:udp', '3300:udp'],
  mixed: ['5001:tcp', '4002:udp', '6003:tcp', '3004:udp'],
  door: DOOR,
};

attack('24. interoperation with knockd', () => {
  for (const family of [4, 6] as const) {
    for (const [client, knocks] of Object.entries(SEQUENCES)) {
      onBoth(
        `opens for the real knock client without delay: ${knocks.join(' ')} (IPv${family})`,
        async (field) => {
          const grant = await field.granted(() => field.knock(knocks, family));
          assert.deepEqual([grant.client, grant.source], [client, field.world.client[family]]);
          await field.used({ family, port: client === 'door' ? 443 : 22 });
        },
      );
    }

    onKnockd(`opens real knockd for our client (IPv${family})`, async (field) => {
      await field.knockd.start({ sequence: 'sequence = 7100:tcp,8100:udp,9100:tcp' });
      const profile: Profile = {
        ...{ host: field.world.address[family], client: 'old', scheme: 'sequence', services: { ssh: 22 } },
        sequence: [
          { port: 7100, protocol: 'tcp' },
          { port: 8100, protocol: 'udp' },
          { port: 9100, protocol: 'tcp' },
        ],
      };
      await field.outside.knock({ profile: formatProfile(profile) });
      assert.ok(await field.knockd.opens({ family }));
      assert.equal(await field.connect({ family, port: field.knockd.port }), 'talks');
    });
  }
});
