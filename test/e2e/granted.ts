// Knocks on a machine that may stand still: a firewall that took too long takes its opening back and asks for another knock.

import type { Event, Gateway } from '../support/gateway.ts';
import { until } from './support.ts';

/** Whether it says that nothing was opened because it took too long. */
export function isLate({ event, message }: Event): boolean {
  return event === 'error' && /took \d+ ms, .*\(knock again\)/u.test(String(message));
}

/** Does something that opens, anew when it came too late, and waits for the grant of it: the last of `count`. */
export async function granted(gateway: Gateway, act: () => Promise<unknown>, count = 1): Promise<Event> {
  for (;;) {
    const wanted = gateway.of('grant').length + count;
    const errors = gateway.of('error').length;
    await act();
    const found = await until(`grant number ${wanted} is there`, () => {
      const late = gateway.of('error').slice(errors);
      return gateway.of('grant')[wanted - 1] ?? late.find(isLate);
    }).catch((error: unknown) => {
      throw new Error(`${String(error)}: ${JSON.stringify(gateway.events)}`);
    });
    if (found.event === 'grant') return found;
  }
}
