// Attack 21: addresses are added and taken away (the interface itself: 21-interface.test.ts), the configuration is reloaded with
// a mistake in it and while knocks are under way. Real knockd is deaf to a new address and exits on a bad file.

import assert from 'node:assert/strict';
import { appendFile, readFile } from 'node:fs/promises';
import { pause, until } from '../support.ts';
import { attack, onBoth, onKnockd } from './attack.ts';
import { type Field } from './field.ts';

const ADDED = { 4: '10.77.0.77', 6: 'fd77::77' };

attack('21. a gateway whose surroundings change', () => {
  const ip = ({ world }: Field, ...args: readonly string[]): Promise<string> =>
    world.gateway.must('ip', args);
  const knocked = async (field: Field, family: 4 | 6, host: string): Promise<void> => {
    await field.granted(async () =>
      field.outside.datagrams({ packets: [{ ...(await field.sealed('alice', { family })), host }] }),
    );
    for (const expected of ['talks', 'refused'])
      assert.equal((await field.outside.connect({ host, port: 22 })).outcome, expected, host);
  };

  onBoth(
    'hears knocks to an address that was added, and those to its others when it is gone again',
    async (field) => {
      for (const family of [4, 6] as const) {
        const length = family === 4 ? 24 : 64;
        const more = family === 4 ? [] : ['nodad'];
        await ip(field, 'addr', 'add', `${ADDED[family]}/${length}`, 'dev', field.world.device, ...more);
        // How long the gateway trusts its list of own addresses.
        await pause(1100);
        await knocked(field, family, ADDED[family]);
        await ip(field, 'addr', 'del', `${ADDED[family]}/${length}`, 'dev', field.world.device);
        await knocked(field, family, field.world.address[family]);
      }
    },
  );

  onBoth('keeps its rules and its openings when the new ones are broken', async (field) => {
    const text = await readFile(field.site.config, 'utf8');
    await field.granted(() => field.spa('alice').knock());
    const errors = field.gateway.of('error').length;
    await field.site.write(`${text}open_four: 7\n`);
    process.kill(field.gateway.pid, 'SIGHUP');
    await field.gateway.wait('error', { count: errors + 1 });
    await field.used();
    await knocked(field, 6, field.world.address[6]);
    await field.site.write(text);
  });

  onBoth('takes each knock that comes while it reloads, once', async (field) => {
    const before = field.gateway.of('grant').length;
    const reloads = field.gateway.of('reload').length;
    for (let knock = 0; knock < 8; knock += 1) {
      const family = knock % 2 === 0 ? 4 : 6;
      process.kill(field.gateway.pid, 'SIGHUP');
      // Each comes at another moment of it.
      await pause(10 * knock);
      await field.granted(() => field.oneTime(family).knock());
      await field.used({ family });
      await field.gateway.wait('reload', { count: reloads + knock + 1 });
    }
    assert.equal(field.gateway.of('grant').length, before + 8);
  });

  onKnockd(
    'as real knockd is deaf to a new address, and exits when the new rules are broken',
    async (field) => {
      await field.knockd.start();
      await ip(field, 'addr', 'add', `${ADDED[4]}/24`, 'dev', field.world.device);
      await field.inject(field.plain({ dst: ADDED[4] }));
      assert.equal(await field.knockd.opens({ timeoutMs: 400 }), false);
      await ip(field, 'addr', 'del', `${ADDED[4]}/24`, 'dev', field.world.device);
      await appendFile(field.knockd.config, 'nonsense = 7\n');
      process.kill(field.knockd.pid, 'SIGHUP');
      await until('it has aborted', () => !field.knockd.runs);
    },
  );
});
