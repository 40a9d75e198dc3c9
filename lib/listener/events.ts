// What a listener tells its owner.

import type { Grant } from '../firewall/driver.ts';
import type { CloseReason } from '../grant/events.ts';
import type { Reject } from '../policy/throttle.ts';

/** Events of a {@link KnockListener}, with their arguments. */
export interface ListenerEvents {
  /** A port was opened. */
  grant: [event: { readonly grant: Grant; readonly scheme: string }];
  /** An opening ended. */
  close: [event: { readonly grant: Grant; readonly reason: CloseReason }];
  /** Knocks were refused; repetitions within a second come as one event with their count. */
  reject: [event: Reject];
  /** Something the operator should know; the listener goes on. */
  warning: [event: { readonly message: string }];
  /** A failure of the host; nothing was opened because of it. */
  error: [error: Error];
  /** The source is exhausted (a savefile's end). */
  end: [];
}
