// One-time tags of steps that are not valid: a client whose clock is off sends them, and to the gateway they are junk.
// Looked for only when somebody explains a capture: it takes many more steps' tags than recognising knocks does.

import type { PacketView } from '../packet/view.ts';
import { oneTimeKnocks, stepAt, STEPS_AROUND } from './one-time-key.ts';
import type { CompleteClient } from './one-time.ts';
import type { MissRemark, Observer } from './remark.ts';
import { stepWindows } from './steps.ts';
import { TagTable, type TagEntry } from './tag-table.ts';

/** Steps before and after the present one: five minutes, with steps of ten seconds. */
const STEPS_SEARCHED = 30;
/** Of all clients; where there are many, fewer steps of each are searched. */
const MOST_STEPS = 20_000;
/** A flood of junk is not searched for what it does not have. */
const MOST_LOOKS = 10_000;

interface StrayKnock {
  readonly client: CompleteClient;
  readonly step: number;
}

const UNKNOWN_TAG: MissRemark = { kind: 'missed', reason: 'unknown-tag' };

/** Tells of each datagram with a tag's length, on a port where knocks may come, what can be said of it. */
export function strayTags(
  clients: readonly CompleteClient[],
  observer: Observer,
): (packet: PacketView) => void {
  const table = new TagTable<StrayKnock>();
  const share = Math.floor(MOST_STEPS / 2 / Math.max(1, clients.length));
  const windows = stepWindows(
    clients,
    (client, step) => {
      const entries = oneTimeKnocks(client, step).map(({ tag }): TagEntry<StrayKnock> => ({
        tag,
        value: { client, step },
      }));
      for (const entry of entries) table.add(entry);
      return entries;
    },
    (entries) => {
      for (const entry of entries) table.remove(entry);
    },
    Math.min(STEPS_SEARCHED, Math.max(STEPS_AROUND, share)),
  );
  let looks = 0;
  return (packet) => {
    if (!clients.some(({ ports: [low, high] }) => packet.dstPort >= low && packet.dstPort <= high)) return;
    looks += 1;
    if (looks > MOST_LOOKS) {
      observer(UNKNOWN_TAG, packet);
      return;
    }
    for (const window of windows) window.moveTo(packet);
    const found = table.find(packet.bytes, packet.payloadStart);
    observer(found === null ? UNKNOWN_TAG : missOf(found, packet.timeMs), packet);
  };
}

function missOf({ client: { name, stepSeconds }, step }: StrayKnock, timeMs: number): MissRemark {
  const clockOffsetMs = (step - stepAt(timeMs, stepSeconds)) * stepSeconds * 1000;
  return { kind: 'missed', reason: 'other-step', client: name, clockOffsetMs };
}
