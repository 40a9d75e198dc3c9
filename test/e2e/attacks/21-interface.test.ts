// Attack 21: the interface goes down and comes up again. The capture has to go on by itself.

import { ok } from 'node:assert/strict';
import { pause } from '../support.ts';
import { describeAttack } from './field.ts';

describeAttack('21. a gateway whose interface goes down', (get) => {
  after(() => get().renewed());

  it('keeps an opening, and hears knocks again once it is up', async () => {
    const field = get();
    const { device } = field.world;
    const ip = (...args: readonly string[]): Promise<string> => field.world.gateway.must('ip', args);
    await field.granted(() => field.spa('alice').knock());
    await ip('link', 'set', device, 'down');
    await pause(300);
    await ip('link', 'set', device, 'up');
    // Going down took the IPv6 addresses away.
    await ip('addr', 'replace', `${field.world.address[6]}/64`, 'dev', device, 'nodad');
    await field.used();
    const before = field.gateway.of('grant').length;
    for (const deadline = Date.now() + 40_000; Date.now() < deadline; await pause(300)) {
      if (field.gateway.of('grant').length > before) break;
      await field.spa('alice').knock();
    }
    ok(field.gateway.of('grant').length > before, 'it is deaf');
    await field.used();
  });
});
