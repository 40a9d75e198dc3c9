// The clients of the pipeline's benchmark and their valid knocks.

import { SYN } from '../lib/packet/view.ts';
import type { OneTimeClient } from '../lib/scheme/one-time.ts';
import { oneTimeKnocks } from '../lib/scheme/one-time-key.ts';
import { frame } from '../test/support/frames.ts';
import { pcapPacket } from '../test/support/savefile.ts';
import { noise, noiseBytes } from './packets.ts';

/** Sixteen clients that knock with tags and four that knock with SYNs. */
export const CLIENTS: Readonly<Record<string, OneTimeClient>> = Object.fromEntries(
  Array.from({ length: 20 }, (_, i) => [
    `client-${i}`,
    { secret: noiseBytes(noise(i + 1), 32), carrier: i % 5 === 4 ? 'tcp' : 'udp' },
  ]),
);

export interface Knock {
  /** As it stands in a pcap file, but for its time. */
  readonly packet: Buffer;
  /** Whether this completes a client's sequence. */
  readonly last: boolean;
}

/** Every client's knock of this step, packet by packet. */
export function knockKeysOf(step: number): Knock[] {
  return Object.values(CLIENTS).flatMap((client, i) => {
    const src = `203.0.113.${i + 1}`;
    const knocks = oneTimeKnocks(client, step);
    return knocks.map(({ port, tag }, index) => {
      const options =
        client.carrier === 'tcp'
          ? ({ src, dstPort: port, protocol: 'tcp', flags: SYN, seq: step + index } as const)
          : { src, dstPort: port, payload: tag };
      return { packet: pcapPacket(frame(options)), last: index === knocks.length - 1 };
    });
  });
}
