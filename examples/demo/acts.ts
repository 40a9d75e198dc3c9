// The part of the story that is the same with a real kernel and on loopback: one knock, one connection, once.

import { describe, type EventQueue, type GatewayEvent } from './events.ts';
import { expect, type Story } from './story.ts';

/** How long an unused opening lasts in the demo. */
export const OPEN_FOR_MS = 6000;
/** An opening ends by the kernel's clock, which counts in ticks, and its end is reported soon after; on a busy machine later. */
const EARLY_MS = 1000;
const LATE_MS = 5000;

/** Where the story plays. Each method shows what it runs. */
export interface Stage {
  /** What is protected: `ssh`. */
  readonly service: string;
  /** Who reports the events: `portknockd`. */
  readonly gateway: string;
  readonly events: EventQueue;
  /** One new connection to the service: whether it got through. One that should is given the time that it takes. */
  connect(should: boolean): Promise<boolean>;
  knock(): Promise<void>;
  /** As {@link knock}, while somebody records it; resolves to the number of packets recorded. */
  knockRecorded(): Promise<number>;
  /** Sends what was recorded once more, from the same address and port. */
  replay(): Promise<void>;
}

export async function play(story: Story, stage: Stage): Promise<void> {
  const { service, gateway, events } = stage;
  const next = async (kind: string, timeoutMs?: number): Promise<GatewayEvent> => {
    const event = await events.next(kind, timeoutMs);
    story.quote(`${gateway}: ${describe(event)}`);
    return event;
  };
  const refused = async (when: string): Promise<void> => {
    expect(!(await stage.connect(false)), `${service} to be refused ${when}`, 'the connection was admitted');
  };

  await story.step('Without a knock', async () => {
    await refused('without a knock');
    return `no knock, no ${service}`;
  });

  await story.step('A knock, and somebody on the way records it', async () => {
    const packets = await stage.knockRecorded();
    expect(packets > 0, 'the knock to be recorded', 'the recording is empty');
    await next('grant');
    return `granted for one connection within ${OPEN_FOR_MS / 1000} s; ${packets} packets recorded`;
  });

  await story.step('The first connection', async () => {
    expect(await stage.connect(true), `${service} to work after the knock`, 'it did not');
    const { reason } = await next('close');
    expect(reason === 'used', "the opening to be closed as 'used'", `its reason was '${String(reason)}'`);
    return `${service} works as ever, and the opening is used up`;
  });

  await story.step('A second connection', async () => {
    await refused('a second time');
    return 'one knock, one connection';
  });

  await story.step('The recorded knock, sent again from the same address and port', async () => {
    await stage.replay();
    const { reason } = await next('reject');
    expect(reason === 'replayed', "the gateway to call it 'replayed'", `it said '${String(reason)}'`);
    await refused('after a replayed knock');
    return 'a knock works once; the recording is worth nothing';
  });

  await story.step('A new knock that nobody uses', async () => {
    await stage.knock();
    const grant = await next('grant');
    const close = await next('close', OPEN_FOR_MS + LATE_MS + 1000);
    const openMs = Date.parse(close.time) - Date.parse(grant.time);
    const inTime = openMs >= OPEN_FOR_MS - EARLY_MS && openMs <= OPEN_FOR_MS + LATE_MS;
    const got = `it was closed as '${String(close.reason)}' after ${openMs} ms`;
    expect(close.reason === 'expired' && inTime, `the opening to expire after ${OPEN_FOR_MS} ms`, got);
    await refused('after the opening expired');
    return `the opening closed by itself after ${(openMs / 1000).toFixed(1)} s`;
  });
}
