// Attacks 14, 15 and 16: burning a granted opening with forged segments, slipping a second connection through it, and
// what must not break the one connection that it is for. Through the whole gateway here; each driver alone, with a
// thousand races and with prefixes: ../one-connection.test.ts.

import assert from 'node:assert/strict';
import {
  admitsInRaces,
  connectsAgain,
  type Door,
  ENDS,
  FORGED,
  keepsPortsShut,
  survivesForged,
} from '../connection.ts';
import { attack, onBoth } from './attack.ts';
import { type Field } from './field.ts';

const RACES = process.env.PORTKNOCK_SLOW === '1' ? 5000 : 300;

/** Opened by a knock. */
function doorOf(field: Field, family: 4 | 6): Door {
  return {
    ...{ world: field.world, inside: field.inside, outside: field.outside, family, port: 22 },
    open: async () => {
      await field.granted(() => field.spa('alice', { family }).knock());
      return 1;
    },
  };
}

attack('14. forged segments after a knock', () => {
  for (const family of [4, 6] as const)
    for (const what of Object.keys(FORGED))
      onBoth(`do not use the opening up: ${what} (IPv${family})`, (field) =>
        survivesForged(doorOf(field, family), what),
      );
});

attack('15. a second connection through one opening', () => {
  for (const family of [4, 6] as const) {
    const race = (field: Field): Promise<void> => admitsInRaces(doorOf(field, family), RACES);
    onBoth(`does not come about when eight race, ${RACES} times (IPv${family})`, race, {
      alone: true,
      timeoutMs: RACES * 400 + 60_000,
    });
    for (const end of ENDS)
      onBoth(`does not come about on the ports of the first after the ${end} (IPv${family})`, (field) =>
        keepsPortsShut(doorOf(field, family), end),
      );
  }
});

attack('16. the one connection', () => {
  for (const family of [4, 6] as const)
    onBoth(`comes about by a SYN that is sent again when the SYN-ACK was lost (IPv${family})`, (field) =>
      connectsAgain(doorOf(field, family)),
    );

  onBoth('lives on when its opening ends, through a reload, a kill -9 and a start', async (field) => {
    const sessions: number[] = [];
    for (const family of [4, 6] as const) {
      const session = async (): Promise<void> => {
        const peer = { host: field.world.address[family], port: 22 };
        const { id, outcome } = await field.outside.connect(peer);
        assert.equal(outcome, 'talks');
        sessions.push(id);
      };
      await field.granted(() => field.spa('alice', { family }).knock());
      await session();
    }
    const live = async (when: string): Promise<void> => {
      for (const id of sessions) assert.equal(await field.outside.talk({ id }), true, when);
    };
    await live('its opening used up');
    const reloads = field.gateway.of('reload').length;
    process.kill(field.gateway.pid, 'SIGHUP');
    await field.gateway.wait('reload', { count: reloads + 1 });
    await live('after a reload');
    await field.gateway.end('SIGKILL');
    await live('after kill -9');
    await field.restarted();
    await live('after a new start');
    for (const id of sessions) await field.outside.hangUp({ id });
  });
});
