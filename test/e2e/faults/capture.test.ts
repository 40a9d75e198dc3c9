// Faults of the capture: its process is killed, and its reader is so slow that the kernel runs out of room. The gateway
// stays, says so, and hears again; what was lost is counted.

import assert from 'node:assert/strict';
import { frame } from '../../support/frames.ts';
import { createWorld, type World } from '../../support/netns.ts';
import { describeAttack } from '../attacks/field.ts';
import { HINTED_PORT, Watcher } from '../numbered.ts';
import { describeInNamespaces, inject, pause } from '../support.ts';
import { CAPTURE, childOf, closed, FAMILIES, listen, resumes } from './resuming.ts';

describeAttack('a gateway whose capture process is killed', (get) => {
  for (const family of FAMILIES) {
    it(`keeps what is open, says so and hears again (IPv${family})`, async () => {
      const field = get();
      const { warned } = listen(field);
      const knock = await field.spa('alice', { family }).fresh();
      await field.granted(() => field.spa('alice', { family }).send(knock));
      const pid = childOf(field.gateway, CAPTURE) ?? assert.fail('no capture process');
      process.kill(pid, 'SIGKILL');
      await warned(/^capture on \w+ ended \(SIGKILL\); starting it again$/u);
      assert.equal(await field.connect({ family, source: field.world.stranger[family] }), 'refused');
      await field.used({ family });
      await closed(field);
      await warned(/^capture on \w+ runs again$/u);
      assert.notEqual(childOf(field.gateway, CAPTURE), pid);
      await resumes(field, family);
    });
  }
});

const SENT = 40_000;
/** One that waits in the kernel takes some 1.1 kB of 16 MiB there. */
const MOST_KEPT = 20_000;
/** The sender may send one twice, or not at all. */
const SLACK = 5;
const COUNTING_MS = 3500;

describeInNamespaces('a capture whose reader does not read', function () {
  this.timeout(120_000);
  let world: World;

  before(async () => {
    world = await createWorld();
  });

  after(() => world.destroy());

  it('keeps what there is room for, counts every other packet, says so, and goes on', async () => {
    const watcher = await Watcher.start(world.gateway, world.device, '3600000', 'plain');
    const junk = (count: number): Buffer[] =>
      Array.from({ length: count }, (_, i) =>
        frame({
          ...{ src: world.client[4], dst: world.address[4], srcPort: 1024 + (i % 60_000) },
          ...{ dstPort: HINTED_PORT, payload: Buffer.alloc(200, i) },
        }),
      );
    try {
      process.kill(watcher.pid, 'SIGSTOP');
      await inject(world, junk(SENT));
      process.kill(watcher.pid, 'SIGCONT');
      // What was kept is read in some 100 ms, and the losses are counted every other second.
      await pause(COUNTING_MS);
      await inject(world, junk(1));
      const { numbers, lost, warnings } = await watcher.end(SENT + 1);
      // Frames of other kinds come before the filter is in force.
      const kept = numbers.length;
      assert.ok(Math.abs(kept + lost - SENT - 1) <= SLACK, `${kept} were kept and ${lost} lost`);
      assert.ok(kept > 1000 && kept < MOST_KEPT, `${kept} were kept`);
      assert.match(warnings.join('\n'), /^capture on gw0 lost \d+ packets \(.+\)$/u);
    } finally {
      watcher.kill();
    }
  });
});
