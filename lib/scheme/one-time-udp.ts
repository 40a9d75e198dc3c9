// The udp carrier: n datagrams in any order, each with its own tag, all from one source within the time-out.
// Junk from the client's own address, spoofed or not, changes nothing: only valid tags are counted.

import { sourceOf, type PacketView } from '../packet/view.ts';
import { sameAddress, type Address } from '../address.ts';
import { oneTimeKnocks, TAG_LENGTH } from './one-time-key.ts';
import type { CompleteClient, KnockMatcher } from './one-time.ts';
import { strayTags } from './one-time-stray.ts';
import { firstKnocks, type AttemptRemark, type Observer } from './remark.ts';
import type { Match } from './scheme.ts';
import { stepWindows } from './steps.ts';
import { TagTable, type TagEntry } from './tag-table.ts';

/** Sources that may send the same sequence at the same time. The client is the first; later ones replay what they heard. */
const SOURCES_PER_STEP = 16;

interface Progress {
  readonly source: Address;
  readonly deadlineMs: number;
  /** Bit i: knock i was seen. */
  seen: number;
}

/** One client's sequence of one step, and who is sending it. */
interface Sequence {
  readonly client: CompleteClient;
  readonly complete: number;
  readonly request: Match;
  progress: Progress[];
  /** Who completed it last: what comes of it again from there is a copy. */
  doneBy: Address | null;
}

interface ExpectedKnock {
  readonly sequence: Sequence;
  readonly index: number;
  readonly port: number;
}

/** The matcher for clients that knock with tags. */
export function taggedKnocks(clients: readonly CompleteClient[]): KnockMatcher {
  const table = new TagTable<ExpectedKnock>();
  const windows = stepWindows(
    clients,
    (client, step) => {
      const entries = entriesOf(client, step);
      for (const entry of entries) table.add(entry);
      return entries;
    },
    (entries) => {
      for (const entry of entries) table.remove(entry);
    },
  );

  let observer: Observer | null = null;
  let tellStray = (_packet: PacketView): void => undefined;
  return {
    match(packet) {
      if (packet.payloadLength !== TAG_LENGTH) return null;
      for (const window of windows) window.moveTo(packet);
      const knock = table.find(packet.bytes, packet.payloadStart);
      if (knock === null) {
        tellStray(packet);
        return null;
      }
      const client = knock.sequence.client.name;
      if (knock.port !== packet.dstPort) return { kind: 'reject', reason: 'wrong-port', client };
      return note(knock, packet, observer);
    },
    observe(given) {
      observer = given;
      tellStray = strayTags(clients, given);
    },
  };
}

function entriesOf(client: CompleteClient, step: number): TagEntry<ExpectedKnock>[] {
  const sequence: Sequence = {
    client,
    complete: 2 ** client.knocks - 1,
    request: { kind: 'request', client: client.name, services: null, counter: BigInt(step) },
    progress: [],
    doneBy: null,
  };
  return oneTimeKnocks(client, step).map(({ port, tag }, index) => ({
    tag,
    value: { sequence, index, port },
  }));
}

function note(
  { sequence, index }: ExpectedKnock,
  packet: PacketView,
  observer: Observer | null,
): Match | null {
  const source = sourceOf(packet);
  if (observer !== null) {
    const late = sequence.progress.find(
      (one) => one.deadlineMs < packet.timeMs && sameAddress(one.source, source),
    );
    if (late !== undefined) observer(remark('late', { sequence, index, seen: late.seen }), packet);
  }
  sequence.progress = sequence.progress.filter(({ deadlineMs }) => deadlineMs >= packet.timeMs);
  let progress = sequence.progress.find((one) => sameAddress(one.source, source));
  if (progress === undefined) {
    // First come, first kept: the client sent the tag before anyone could have heard it.
    if (sequence.progress.length >= SOURCES_PER_STEP) {
      return { kind: 'reject', reason: 'attempt-table-full', client: sequence.client.name };
    }
    progress = { source, deadlineMs: packet.timeMs + sequence.client.timeoutMs, seen: 0 };
    sequence.progress.push(progress);
  }
  const before = progress.seen;
  progress.seen |= 1 << index;
  const { seen } = progress;
  if (seen !== sequence.complete) {
    const isCopy = seen === before || (sequence.doneBy !== null && sameAddress(sequence.doneBy, source));
    observer?.(remark(isCopy ? 'repeated' : 'counted', { sequence, index, seen }), packet);
    return null;
  }
  sequence.progress = sequence.progress.filter((one) => one !== progress);
  sequence.doneBy = source;
  return sequence.request;
}

function remark(
  kind: AttemptRemark['kind'],
  { sequence, index, seen }: Pick<ExpectedKnock, 'sequence' | 'index'> & Pick<Progress, 'seen'>,
): AttemptRemark {
  const { name, knocks } = sequence.client;
  return {
    ...{ kind, client: name, knock: index + 1, knocks },
    seen: firstKnocks(knocks).filter((knock) => (seen & (1 << (knock - 1))) !== 0),
  };
}
