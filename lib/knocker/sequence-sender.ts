// Knocks of a plain sequence of ports.

import type { Clock } from '../clock.ts';
import type { SequenceProfile } from './profile.ts';
import { sendInOrder } from './send.ts';
import type { KnockSender } from './sender.ts';

export function sequenceSender(
  { sequence }: SequenceProfile,
  { clock, delayMs }: { clock: Clock; delayMs: number },
): KnockSender {
  return {
    // As with untagged one-time knocks: a SYN of ours in their midst would start the sequence over.
    keepsAttempts: false,
    closes: false,
    async knock({ addresses: [address], signal }) {
      await sendInOrder(address, sequence, { delayMs, clock, signal });
      return { sentTo: address, packets: sequence.length };
    },
  };
}
