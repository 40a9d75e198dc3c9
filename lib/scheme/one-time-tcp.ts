// The tcp carrier: n connection attempts in order, no payload, so that anything which can call connect() can knock.
// A wrong port inside the client's range starts over, or a port scan would contain every sequence; ports outside the
// range are other traffic. What it gives up: a spoofed SYN can spoil an attempt, and only the ports are secret.

import { TCP } from '../packet/view.ts';
import { Doors, knockKey, type Door } from './doors.ts';
import type { CompleteClient, KnockMatcher } from './one-time.ts';
import { oneTimeKnocks } from './one-time-key.ts';
import { isSyn } from './sequence.ts';
import { stepWindows } from './steps.ts';

/** The matcher for clients that knock with ports alone. */
export function portKnocks(clients: readonly CompleteClient[]): KnockMatcher {
  if (clients.length === 0) return { match: () => null, observe: () => undefined };
  const doors = new Doors();
  const windows = stepWindows(
    clients,
    (client, step) => doors.add(doorOf(client, step)),
    (id) => {
      doors.remove(id);
    },
  );
  return {
    match(packet) {
      if (packet.protocol !== TCP || !isSyn(packet)) return null;
      for (const window of windows) window.moveTo(packet);
      return doors.match(packet);
    },
    observe(observer) {
      doors.observe(observer);
    },
  };
}

function doorOf(client: CompleteClient, step: number): Door {
  return {
    keys: oneTimeKnocks(client, step).map(({ port }) => knockKey(TCP, port)),
    timeoutMs: client.timeoutMs,
    request: { kind: 'request', client: client.name, services: null, counter: BigInt(step) },
    scope: client.ports,
  };
}
