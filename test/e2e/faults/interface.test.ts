// Faults of the interface: down and up again (also too quickly to be noticed by looking), deleted and made again, renamed
// and renamed back, given another address. The gateway stays, says so, and hears knocks again soon after it is back.

import assert from 'node:assert/strict';
import { describeAttack, type Field } from '../attacks/field.ts';
import { pause, until } from '../support.ts';
import { closed, FAMILIES, listen, resumes } from './resuming.ts';

const MOVED = { 4: '10.77.0.88', 6: 'fd77::88' };
const LENGTH = { 4: 24, 6: 64 };

describeAttack('a gateway whose interface', (get) => {
  after(() => get().renewed());

  const ip = (...args: readonly string[]): Promise<string> => get().world.gateway.must('ip', args);
  /** Going down takes the IPv6 addresses away. */
  const restored = async ({ world }: Field): Promise<void> => {
    for (const family of FAMILIES) {
      const more = family === 4 ? [] : ['nodad'];
      await ip('addr', 'replace', `${world.address[family]}/${LENGTH[family]}`, 'dev', world.device, ...more);
    }
    await settled(world);
  };
  /** Until the kernel has made sure of its link-local addresses (RFC 4862): before, it asks for no neighbour. */
  const settled = async ({ gateway, outside }: Field['world']): Promise<void> => {
    for (const space of [gateway, outside])
      await until(
        'IPv6 is ready',
        async () => (await space.must('ip', ['-6', 'addr', 'show', 'tentative'])) === '',
      );
  };

  it('goes down keeps what is open, says so, and hears knocks once it is up', async () => {
    const field = get();
    const { device } = field.world;
    const { warned, all } = listen(field);
    for (const family of FAMILIES) await field.granted(() => field.spa('alice', { family }).knock());
    await ip('link', 'set', device, 'down');
    await warned(/^capture on \w+ ended \(interface \w+ is down or gone .*\); starting it again$/u);
    // Until a start has failed, and the next is not due for some time.
    await warned(/^capture cannot be started again: interface \w+ is down or gone .*; trying on$/u);
    await pause(3000);
    await ip('link', 'set', device, 'up');
    await restored(field);
    for (const family of FAMILIES) {
      assert.equal(await field.connect({ family, source: field.world.stranger[family] }), 'refused');
      await field.used({ family });
    }
    await warned(/^capture on \w+ runs again$/u);
    for (const family of FAMILIES) await resumes(field, family);
    assert.equal(all().length, 3, 'each thing is said once');
  });

  it('goes down and up at once hears even the first knock, and says so', async () => {
    const field = get();
    const { warned, all } = listen(field);
    const commands = `link set ${field.world.device} down\nlink set ${field.world.device} up\n`;
    await field.world.gateway.must('ip', ['-batch', '-'], { input: commands });
    await restored(field);
    // Or it was noticed by the look that is taken every other second.
    await pause(2500);
    if (all().length === 0) {
      const before = field.gateway.of('grant').length;
      await field.spa('alice').knock();
      await until('the only knock is heard', () => field.gateway.of('grant').length > before);
      await field.used();
    }
    await warned(/^capture on \w+ ended \(interface \w+ (was down for a moment|is down or gone .*)\); /u);
    await warned(/^capture on \w+ runs again$/u);
    for (const family of FAMILIES) await resumes(field, family);
  });

  it('is renamed says so, and hears knocks once it has its name again', async () => {
    const field = get();
    const { device } = field.world;
    const { warned } = listen(field);
    const rename = async (from: string, to: string): Promise<void> => {
      await ip('link', 'set', from, 'down');
      await ip('link', 'set', from, 'name', to);
      await pause(2500);
      await ip('link', 'set', to, 'up');
    };
    await rename(device, 'other0');
    await warned(
      /^capture cannot be started again: interface \w+ (does not exist|is down or gone) .*; trying on$/u,
    );
    for (const family of FAMILIES) await field.spa('alice', { family }).knock();
    await rename('other0', device);
    await restored(field);
    await closed(field);
    await warned(/^capture on \w+ runs again$/u);
    for (const family of FAMILIES) await resumes(field, family);
  });

  it('is deleted and made again says so, and hears knocks', async () => {
    const field = get();
    const { device, gateway, outside, address, client, stranger } = field.world;
    const { warned } = listen(field);
    await ip('link', 'del', device);
    await warned(/^capture on \w+ ended \(interface \w+ is down or gone .*\); starting it again$/u);
    await ip('link', 'add', device, 'type', 'veth', 'peer', 'name', 'out0', 'netns', String(outside.pid));
    await ip('link', 'set', device, 'address', '02:00:00:00:00:01');
    await outside.must('ip', ['link', 'set', 'out0', 'address', '02:00:00:00:00:ff']);
    for (const family of FAMILIES)
      for (const [space, name, host] of [
        [gateway, device, address],
        [outside, 'out0', client],
        [outside, 'out0', stranger],
      ] as const) {
        const more = family === 4 ? [] : [...(host === stranger ? ['preferred_lft', '0'] : []), 'nodad'];
        await space.must('ip', ['addr', 'add', `${host[family]}/${LENGTH[family]}`, 'dev', name, ...more]);
      }
    await ip('link', 'set', device, 'up');
    await outside.must('ip', ['link', 'set', 'out0', 'up']);
    await settled(field.world);
    await warned(/^capture on \w+ runs again$/u);
    for (const family of FAMILIES) await resumes(field, family);
  });

  for (const family of FAMILIES) {
    it(`is given another address hears knocks to that one, and to the old one no more (IPv${family})`, async () => {
      const field = get();
      const { device, address } = field.world;
      const more = family === 4 ? [] : ['nodad'];
      const opensAt = async (host: string): Promise<void> => {
        await field.granted(async () =>
          field.outside.datagrams({ packets: [{ ...(await field.sealed('alice', { family })), host }] }),
        );
        for (const expected of ['talks', 'refused'])
          assert.equal((await field.outside.connect({ host, port: 22 })).outcome, expected, host);
      };
      await ip('addr', 'del', `${address[family]}/${LENGTH[family]}`, 'dev', device);
      await ip('addr', 'add', `${MOVED[family]}/${LENGTH[family]}`, 'dev', device, ...more);
      try {
        // How long the gateway trusts its list of own addresses.
        await pause(1100);
        await opensAt(MOVED[family]);
        const grants = field.gateway.of('grant').length;
        const late = field.datagram(await field.sealed('bob', { family }), { family });
        await field.inject([late]);
        await opensAt(MOVED[family]);
        assert.equal(field.gateway.of('grant').length, grants + 1, 'a knock for the old address');
      } finally {
        await ip('addr', 'del', `${MOVED[family]}/${LENGTH[family]}`, 'dev', device);
        await ip('addr', 'add', `${address[family]}/${LENGTH[family]}`, 'dev', device, ...more);
      }
      await pause(1100);
      await resumes(field, family);
    });
  }
});
