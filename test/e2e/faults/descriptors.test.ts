// Out of file descriptors: the limit of the running gateway is lowered to those that it has, so that it can neither start
// a process nor open a file nor accept a connection. It stays, opens nothing by mistake, and resumes when there are more.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describeAttack, stateOf, type Field } from '../attacks/field.ts';
import { pause, until } from '../support.ts';
import { CAPTURE, childOf, closed, FAMILIES, listen, resumes } from './resuming.ts';

describeAttack('a gateway that is out of file descriptors', (get, driver) => {
  const limit = async ({ world, gateway }: Field, most: string): Promise<void> => {
    await world.gateway.must('prlimit', ['--pid', String(gateway.pid), `--nofile=${most}:`]);
  };
  /** The lowest number that is free: from there on none can be had. */
  const exhausted = async (field: Field): Promise<void> => {
    const used = new Set(readdirSync(`/proc/${field.gateway.pid}/fd`).map(Number));
    const free = Array.from({ length: used.size + 1 }, (_, i) => i).find((i) => !used.has(i));
    await limit(field, String(free));
  };
  const relieved = (field: Field): Promise<void> => limit(field, '4096');

  afterEach(async () => {
    await relieved(get());
    await get().renewed();
  });

  it('and loses its capture process says so, stays, and starts it once there are some', async () => {
    const field = get();
    const { warned } = listen(field);
    const { pid } = field.gateway;
    const knock = await field.spa('alice').fresh();
    await field.granted(() => field.spa('alice').send(knock));
    await exhausted(field);
    process.kill(childOf(field.gateway, CAPTURE) ?? assert.fail('no capture process'), 'SIGKILL');
    await warned(/^capture cannot be started again: .*EMFILE.*; trying on$/u);
    // Without those that the process has left free.
    await exhausted(field);
    // The opening that there was is the kernel's.
    await field.used();
    await closed(field);
    await field.spa('alice').knock();
    await pause(2000);
    await closed(field);
    await relieved(field);
    await warned(/^capture on \w+ runs again$/u);
    assert.equal(field.gateway.pid, pid);
    for (const family of FAMILIES) await resumes(field, family);
  });

  if (driver === 'nftables') {
    it('and loses its nft as well fails the knock, and takes a fresh one once there are some', async () => {
      const field = get();
      for (const family of FAMILIES) await resumes(field, family);
      await exhausted(field);
      process.kill(childOf(field.gateway, /^nft\0/u) ?? assert.fail('no nft'), 'SIGKILL');
      await until('a knock fails', async () => {
        await field.spa('alice').knock();
        await pause(1000);
        return field.gateway.of('reject').some(({ reason }) => reason === 'grant-failed');
      });
      await closed(field);
      await relieved(field);
      for (const family of FAMILIES) await resumes(field, family);
    });
  }

  it('takes a knock or fails it as a whole, reloads nothing, and answers again later', async () => {
    const field = get();
    // It has learnt its addresses then; one that cannot takes every knock for another host's.
    for (const family of FAMILIES) await resumes(field, family);
    await exhausted(field);
    const said = field.gateway.events.length;
    for (const family of FAMILIES) await field.spa('alice', { family }).knock();
    process.kill(field.gateway.pid, 'SIGHUP');
    await until('the control socket is tried', () => hangsUp(field));
    const since = (...kinds: readonly string[]): unknown[] =>
      field.gateway.events
        .slice(said)
        .filter(({ event, reason }) => kinds.includes(event) && reason !== 'replayed')
        .map(({ source }) => source);
    await until('both knocks and the reload are answered', () => {
      const answered = new Set(since('grant', 'reject'));
      return (
        FAMILIES.every((family) => answered.has(field.world.client[family])) && since('error').length > 0
      );
    });
    assert.equal(field.gateway.of('reload').length, 0);
    const granted = new Set(since('grant'));
    for (const family of FAMILIES) {
      const source = field.world.client[family];
      assert.equal(await field.connect({ family, source: field.world.stranger[family] }), 'refused');
      assert.equal(await field.connect({ family, source }), granted.has(source) ? 'talks' : 'refused');
    }
    await closed(field);
    await relieved(field);
    for (const family of FAMILIES) await resumes(field, family);
    process.kill(field.gateway.pid, 'SIGHUP');
    await field.gateway.wait('reload');
    for (const family of FAMILIES) await resumes(field, family);
  });
});

/** That the control socket can be called, and does not answer. */
function hangsUp({ site }: Field): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path: join(stateOf(site), 'portknockd.sock') });
    socket.on('error', () => {
      resolve(true);
    });
    socket.on('close', () => {
      resolve(true);
    });
    socket.setTimeout(2000, () => {
      socket.destroy();
    });
    socket.end('{"command":"grants"}\n').resume();
  });
}
