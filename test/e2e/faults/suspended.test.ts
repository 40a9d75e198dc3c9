// The machine is suspended, as far as we are concerned: gateway and capture process stop, the kernel goes on. What was open
// is closed by the kernel meanwhile; afterwards the gateway reports that and takes fresh knocks, and no old one.

import assert from 'node:assert/strict';
import { describeAttack } from '../attacks/field.ts';
import { pause, until } from '../support.ts';
import { CAPTURE, childOf, closed, FAMILIES, listen, refusesAll, resumes } from './resuming.ts';

const OPEN_MS = 4000;
const SUSPENDED_MS = process.env.PORTKNOCK_SLOW === '1' ? 40_000 : 6000;

describeAttack('a machine that is suspended', (get) => {
  it(`for ${SUSPENDED_MS / 1000} s has closed on time, says so when it goes on, and takes fresh knocks alone`, async function () {
    this.timeout(60_000 + SUSPENDED_MS);
    const field = get();
    await field.configured({ openFor: `${OPEN_MS / 1000}s` });
    const { all } = listen(field);
    const capture = childOf(field.gateway, CAPTURE) ?? assert.fail('no capture process');
    const knocks = [];
    const ids: unknown[] = [];
    for (const family of FAMILIES) {
      const spa = field.spa('alice', { family });
      const knock = await spa.fresh();
      ids.push((await field.granted(() => spa.send(knock))).id);
      knocks.push(knock);
    }
    const stopped = [field.gateway.pid, capture];
    const began = Date.now();
    for (const pid of stopped) process.kill(pid, 'SIGSTOP');
    try {
      await pause(OPEN_MS + 200);
      await closed(field);
      // Recorded before, sent while nobody listens: the kernel keeps them for the capture process.
      for (const [i, family] of FAMILIES.entries())
        await field.outside.datagrams({
          packets: [knocks[i] ?? assert.fail()],
          source: field.world.stranger[family],
        });
      await pause(began + SUSPENDED_MS - Date.now());
      await closed(field);
    } finally {
      for (const pid of stopped) process.kill(pid, 'SIGCONT');
    }
    await until('both ends are reported', () =>
      ids.every((id) =>
        field.gateway.of('close').some((close) => close.id === id && close.reason === 'expired'),
      ),
    );
    for (const [i, family] of FAMILIES.entries()) {
      await refusesAll(field, family, [knocks[i] ?? assert.fail()]);
      await resumes(field, family);
    }
    assert.deepEqual(all(), [], 'the capture went on');
    assert.equal(childOf(field.gateway, CAPTURE), capture);
  });
});
