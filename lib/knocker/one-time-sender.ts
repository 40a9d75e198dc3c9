// Knocks of the hashed one-time sequence: a fresh step for each.

import type { Clock } from '../clock.ts';
import { oneTimeKnocks } from '../scheme/one-time-key.ts';
import { Ledger, type KnockState } from './ledger.ts';
import type { OneTimeProfile } from './profile.ts';
import { sendInOrder, sendTagged } from './send.ts';
import type { KnockSender } from './sender.ts';
import { Steps } from './steps.ts';

export function oneTimeSender(
  profile: OneTimeProfile,
  { state, clock, delayMs }: { state: KnockState; clock: Clock; delayMs: number },
): KnockSender {
  const steps = new Steps(new Ledger(state), clock, profile.step);
  return {
    // A retransmitted SYN of an earlier attempt in the midst of untagged knocks would start the sequence over.
    keepsAttempts: profile.carrier === 'udp',
    closes: false,
    async knock({ addresses: [address], keep, signal }) {
      const claim = await steps.claim(keep);
      if ('waitMs' in claim) return claim;
      const { step } = claim;
      const knocks = oneTimeKnocks(profile, step);
      if (profile.carrier === 'udp') await sendTagged(address, knocks, signal);
      else {
        const ports = knocks.map(({ port }) => ({ port, protocol: 'tcp' as const }));
        await sendInOrder(address, ports, { delayMs, clock, signal });
      }
      return { sentTo: address, packets: knocks.length, step };
    },
  };
}
