// Knocks on a machine that may stand still: a firewall that took too long takes its opening back and asks for another knock.

import type { Event, Gateway } from '../support/gateway.ts';
import { LATE } from '../support/grants.ts';

/** Whether it says that nothing was opened because it took too long. */
export function isLate({ event, message }: Event): boolean {
  return event === 'error' && LATE.test(String(message));
}

/** Does something that opens, anew when it came too late, and waits for the grant of it: the last of `count`. */
export async function granted(gateway: Gateway, act: () => Promise<unknown>, count = 1): Promise<Event> {
  for (;;) {
    const wanted = gateway.of('grant').length + count;
    const seen = gateway.events.length;
    await act();
    const found = await gateway.find(
      `grant number ${wanted}`,
      () => gateway.of('grant')[wanted - 1] ?? gateway.events.slice(seen).find(isLate),
    );
    if (found.event === 'grant') return found;
  }
}
