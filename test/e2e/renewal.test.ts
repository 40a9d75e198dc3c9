// The kernel's filter is renewed while packets come without a pause: each is delivered exactly once, and those that both
// filters let through in their order.

import assert from 'node:assert/strict';
import { createWorld, finished, type World } from '../support/netns.ts';
import { isAhead, script, Watcher } from './numbered.ts';
import { describeInNamespaces, pause } from './support.ts';

/** Long enough for an hour's change and one asked for, each of which takes three seconds, on a busy machine. */
const EPOCH_MS = 8000;
const PER_SECOND = 2000;
/** How often a change is asked for. */
const RENEW_MS = 6000;
const COUNT = process.env.PORTKNOCK_SLOW === '1' ? 60 * PER_SECOND : 18 * PER_SECOND;

describeInNamespaces(`a live capture of ${PER_SECOND} datagrams a second`, function () {
  this.timeout(180_000);
  let world: World;
  let watcher: Watcher;

  before(async () => {
    world = await createWorld();
    watcher = await Watcher.start(world.gateway, world.device, String(EPOCH_MS));
  });

  after(async () => {
    watcher.kill();
    await world.destroy();
  });

  it('delivers every one exactly once, and in order what both filters know, while its filter is renewed again and again', async () => {
    const processes = new Set(watcher.children());
    const sending = world.outside.spawn(
      ...script('send', world.address[4], String(EPOCH_MS), String(COUNT), String(PER_SECOND)),
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const sent = finished(sending);
    let side = 0;
    let asked = Date.now();
    while (sending.exitCode === null && sending.signalCode === null) {
      await pause(50);
      const children = watcher.children();
      for (const pid of children) processes.add(pid);
      side = Math.max(side, children.length);
      if (Date.now() < asked + RENEW_MS) continue;
      asked = Date.now();
      watcher.renew();
    }
    assert.equal((await sent).status, 0);
    const { numbers, lost, renewals, warnings } = await watcher.end(COUNT);
    console.log(
      `      ${numbers.length} datagrams through ${processes.size} capture processes, ` +
        `${renewals} changes asked for`,
    );
    assert.deepEqual(warnings, []);
    assert.equal(lost, 0);
    assert.equal(side, 2, 'never more than two capture side by side');
    assert.ok(processes.size - 1 >= COUNT / PER_SECOND / 6, `${processes.size} processes`);
    const counts = new Map<number, number>();
    for (const number of numbers) counts.set(number, (counts.get(number) ?? 0) + 1);
    const all = Array.from({ length: COUNT }, (_, i) => i);
    const wrong = all
      .filter((number) => counts.get(number) !== 1)
      .map((number) => [number, counts.get(number)]);
    assert.deepEqual(wrong, [], 'numbers that were missed or doubled, and how often they came');
    assert.equal(numbers.length, COUNT);
    // A hint that only the new capture knows comes when that one gets to it; the rest comes from whichever is first.
    for (const isNewHint of [false, true]) {
      const kind = numbers.filter((number) => isAhead(number) === isNewHint);
      const out = kind.filter((number, i) => number < (kind[i - 1] ?? -1));
      assert.deepEqual(out, [], 'numbers out of order');
    }
  });
});
