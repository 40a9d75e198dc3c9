// The udp carrier: n datagrams in any order, each with its own tag, all from one source within the time-out.
// Junk from the client's own address, spoofed or not, changes nothing: only valid tags are counted.

import { sourceOf, type PacketView } from '../packet/view.ts';
import { sameAddress, type Address } from '../address.ts';
import { oneTimeKnocks, TAG_LENGTH } from './one-time-key.ts';
import type { CompleteClient } from './one-time.ts';
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
}

interface ExpectedKnock {
  readonly sequence: Sequence;
  readonly index: number;
  readonly port: number;
}

/** The matcher for clients that knock with tags. */
export function taggedKnocks(clients: readonly CompleteClient[]): (packet: PacketView) => Match | null {
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

  return (packet) => {
    if (packet.payloadLength !== TAG_LENGTH) return null;
    for (const window of windows) window.moveTo(packet);
    const knock = table.find(packet.bytes, packet.payloadStart);
    if (knock === null) return null;
    const client = knock.sequence.client.name;
    if (knock.port !== packet.dstPort) return { kind: 'reject', reason: 'wrong-port', client };
    return note(knock.sequence, knock.index, packet);
  };
}

function entriesOf(client: CompleteClient, step: number): TagEntry<ExpectedKnock>[] {
  const sequence: Sequence = {
    client,
    complete: 2 ** client.knocks - 1,
    request: { kind: 'request', client: client.name, services: null, counter: BigInt(step) },
    progress: [],
  };
  return oneTimeKnocks(client, step).map(({ port, tag }, index) => ({
    tag,
    value: { sequence, index, port },
  }));
}

function note(sequence: Sequence, index: number, packet: PacketView): Match | null {
  const source = sourceOf(packet);
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
  progress.seen |= 1 << index;
  if (progress.seen !== sequence.complete) return null;
  sequence.progress = sequence.progress.filter((one) => one !== progress);
  return sequence.request;
}
