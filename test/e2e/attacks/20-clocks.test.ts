// Attack 20: the edges of time and of the counter.

import assert from 'node:assert/strict';
import { pause, until } from '../support.ts';
import { attack, onBoth } from './attack.ts';
import { STEP_SECONDS } from './clients.ts';
import { type Field } from './field.ts';

const STEP_MS = STEP_SECONDS * 1000;
const AROUND = 3;

attack('20. knocks at the edges of time', () => {
  for (const family of [4, 6] as const) {
    onBoth(
      `open up to 120 s late and 30 s early, and are refused with the reason beyond (IPv${family})`,
      async (field) => {
        const client = family === 4 ? 'clock4' : 'clock6';
        // Rising counters, or an earlier one would be refused for another reason.
        for (const [offset, expected] of [
          [-121_500, 'stale'],
          // What it takes to send is not to matter.
          [-112_000, null],
          [0, null],
          [28_000, null],
          [38_000, 'future'],
          [3_600_000, 'future'],
        ] as const) {
          const send = async (): Promise<null> =>
            field.outside.datagrams({
              packets: [await field.sealed(client, { family, atMs: Date.now() + offset })],
            });
          if (expected === null) {
            await field.granted(send);
            await field.used({ family });
          } else {
            const before = field.gateway.of('reject').length;
            await send();
            const told = (): unknown =>
              field.gateway
                .of('reject')
                .slice(before)
                .find(({ reason }) => reason === expected);
            await until(`the gateway has told of ${offset} ms`, told);
            assert.equal(await field.connect({ family }), 'refused');
          }
        }
      },
    );
  }

  onBoth(
    'are refused when the counter went back: a client restored from a backup, two that share a key',
    async (field) => {
      const now = Date.now();
      const send = async (atMs: number, sequence = 0): Promise<null> =>
        field.outside.datagrams({ packets: [await field.sealed('restored', { atMs, sequence })] });
      await field.granted(() => send(now + 1000, 5));
      await field.used();
      const grants = field.gateway.of('grant').length;
      for (const [atMs, sequence] of [
        [now + 1000, 4],
        [now + 1000, 5],
        [now + 999, 65_535],
        [now - 60_000, 0],
      ] as const)
        await send(atMs, sequence);
      await nothingCame(field, grants);
      await field.granted(() => send(now + 1000, 6));
      await field.used();
      assert.equal(await field.connect(), 'refused');
    },
  );

  onBoth(
    `open in a step of ${STEP_SECONDS} s and the ${AROUND} around it, and not beyond, nor half of each of two`,
    async (field) => {
      for (const offset of [-AROUND - 2, AROUND + 3]) {
        const grants = field.gateway.of('grant').length;
        await sendStep(field, offset);
        await nothingCame(field, grants);
      }
      // The steps are counted when the packet comes, so one step of leeway at the edges.
      for (const offset of [1 - AROUND, 0, AROUND - 1]) {
        await field.granted(() => sendStep(field, offset));
        await field.used();
      }
      const [one, other] = [field.stepKey(), field.stepKey()];
      await field.outside.datagrams({ packets: [...one.of(0).slice(0, 2), ...one.of(1).slice(2)] });
      await field.granted(() => field.outside.datagrams({ packets: other.of(0) }));
      await field.used();
      assert.equal(await field.connect(), 'refused');
    },
  );

  onBoth('open when a step ends in their midst', async (field) => {
    const client = field.stepKey();
    await pause(STEP_MS - (Date.now() % STEP_MS) - 30);
    const knocks = client.of(0);
    await field.outside.datagrams({ packets: knocks.slice(0, 2) });
    await pause(60);
    await field.granted(() => field.outside.datagrams({ packets: knocks.slice(2) }));
    await field.used();
  });
});

/** Nobody but who knocks now was let in since there were so many grants: the gateway takes knocks in their order. */
async function nothingCame(field: Field, grants: number): Promise<void> {
  const { client } = await field.granted(() => field.spa('bob').knock());
  assert.equal(client, 'bob');
  await field.used();
  assert.equal(field.gateway.of('grant').length, grants + 1);
  assert.equal(await field.connect(), 'refused');
}

async function sendStep(field: Field, offset: number): Promise<void> {
  await field.outside.datagrams({ packets: field.stepKey().of(offset) });
  await pause(50);
}
