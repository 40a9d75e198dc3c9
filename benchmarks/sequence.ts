// Plain sequences: every SYN and datagram counts, so junk passes through the bounded table of attempts.

import { sequence, type SequenceClient } from '../lib/scheme/sequence.ts';
import { must, type Bench } from './bench.ts';
import { inTurn, matcher, noise, round, viewOf } from './packets.ts';

const AT_MS = 1_700_000_000_000;
const unit = 'packets';

export async function sequenceBench(bench: Bench): Promise<void> {
  const next = noise();
  const match = matcher(sequence({ clients: clients(100) }));
  const source = (): string => `198.18.${next(256)}.${next(256)}`;
  const syns = round(() => viewOf({ protocol: 'tcp', src: source(), dstPort: 1 + next(999) }, AT_MS));
  const openers = new Map(Array.from({ length: 100 }, (_, i) => [(6 << 16) | (2000 + i), {}]));
  const bare = await bench.row(
    'bare: one Map look-up by protocol and port',
    inTurn(syns, ({ protocol, dstPort }) => openers.get((protocol << 16) | dstPort)),
    { unit },
  );
  const beside = { unit, beside: bare, allocates: 'nothing' } as const;
  must(
    syns.every((view) => match(view) === null),
    'junk opens nothing',
  );
  await bench.row('junk SYNs from strangers', inTurn(syns, match), beside);
  const segments = round(() => viewOf({ protocol: 'tcp', src: source(), flags: 16, dstPort: 443 }, AT_MS));
  await bench.row('segments that are no SYN', inTurn(segments, match), beside);
  const flood = round((i) =>
    viewOf({ protocol: 'tcp', src: source(), dstPort: 2000 + (i % 100), seq: next(1 << 30) }, AT_MS),
  );
  await bench.row('first knocks from ever new sources, table full', inTurn(flood, match), beside);

  const knock = [2005, 9005, 4005].map((dstPort, i) => viewOf({ protocol: 'tcp', dstPort, seq: i }, AT_MS));
  const whole = (): unknown => {
    let last = null;
    for (const view of knock) {
      // With the number of before it would be a SYN sent again; and the one before has timed out, as in life.
      view.seq = (view.seq + 3) | 0;
      view.timeMs += 20_000;
      last = match(view);
    }
    return last;
  };
  must(whole() !== null && whole() !== null, 'a sequence completes');
  await bench.row('a whole knock: three SYNs in order, in a full table', whole, { unit: 'knocks' });
}

function clients(count: number): Record<string, SequenceClient> {
  return Object.fromEntries(
    Array.from({ length: count }, (_, i) => [
      `client-${i}`,
      { sequence: [`${2000 + i}/tcp`, `${9000 + i}/tcp`, `${4000 + i}/tcp`] },
    ]),
  );
}
