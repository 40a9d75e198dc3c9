// Attack 3: a knock that was used becomes valid again because of what is remembered: a damaged file, a kill between the
// acceptance and the opening, the last of a list. Ours derives its knocks and remembers a counter. Real knockd's list of
// sequences takes a used one again after a malformed line, and the last one aborts it.

import assert from 'node:assert/strict';
import { appendFile, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { until } from '../support.ts';
import { attack, onBoth, onKnockd } from './attack.ts';
import { stateOf } from './field.ts';

const SLOW = process.env.PORTKNOCK_SLOW === '1';
const DAMAGES = ['garbage', 'cut'];

attack('3. a used one-time knock', () => {
  onBoth(
    'stays used when the file that remembers it is cut short or has garbage at its end',
    async (field) => {
      // What remembers is the same whatever the driver is.
      for (const damage of SLOW ? DAMAGES : [field.driver === 'iptables' ? 'garbage' : 'cut']) {
        const path = join(stateOf(field.site), 'replay');
        const client = field.oneTime();
        await field.granted(() => client.knock());
        await field.used();
        // Another knock comes last, so that what is cut off is not this one.
        await field.granted(() => field.spa('alice').knock());
        await field.used();
        await field.gateway.end('SIGKILL');
        const { length } = await readFile(path);
        if (damage === 'garbage') await appendFile(path, 'not a record\n');
        else await truncate(path, length - 5);
        await field.restarted();
        // It cannot know what was lost, so it refuses until all that may have been used has expired.
        const reason = await field.refused(() => client.send(client.sent));
        assert.ok(['replayed', 'replay-window'].includes(String(reason)), `${damage}: ${String(reason)}`);
        assert.equal(await field.connect(), 'refused', damage);
        assert.deepEqual(field.gateway.of('grant'), [], damage);
        await field.renewed();
      }
    },
  );

  onBoth('is used when the gateway is killed the moment that it was accepted', async (field) => {
    const client = field.oneTime();
    const path = join(stateOf(field.site), 'replay');
    const before = await readFile(path);
    const isClaimed = async (): Promise<boolean> => !(await readFile(path)).equals(before);
    await client.knock();
    // The claim is in the file before the firewall opens.
    for (const deadline = Date.now() + 20_000; !(await isClaimed()) && Date.now() < deadline;);
    await field.gateway.end('SIGKILL');
    assert.ok(await isClaimed());
    await field.restarted();
    await field.connect();
    const grants = field.gateway.of('grant').length;
    assert.equal(await field.refused(() => client.send(client.sent)), 'replayed');
    assert.equal(field.gateway.of('grant').length, grants);
    assert.equal(await field.connect(), 'refused');
  });

  onKnockd(
    "is accepted again by real knockd after a malformed line, and the list's last entry aborts it",
    async (field) => {
      const { knockd } = field;
      const list = knockd.path('sequences');
      const sequence = `one_time_sequences = ${list}`;
      const frames = (): Promise<void> => field.inject(field.plain());
      await writeFile(list, ' 0x,,bad:line:\n 7100,8100,9100\n 7200,8200,9200\n');
      await knockd.start({ sequence });
      await frames();
      assert.ok(await knockd.opens(), 'the first time');
      // What the file says now is what knockd itself wrote there.
      await knockd.end();
      await knockd.resume();
      await frames();
      assert.ok(await knockd.opens(), 'the second time');
      await writeFile(list, ' 7100,8100,9100\n');
      await knockd.start({ sequence });
      await until('it has aborted', async () => {
        if (knockd.runs) await frames();
        return !knockd.runs;
      });
    },
  );
});
