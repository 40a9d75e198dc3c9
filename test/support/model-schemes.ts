// The schemes once more, slow and obvious: no tables, no windows, no hashes, nothing precomputed. Evictions are left
// out, so it agrees with the library only while few sources knock.

import { formatAddress } from '../../lib/address.ts';
import { SYN, sourceOf, TCP, UDP, type PacketView } from '../../lib/packet/view.ts';
import { oneTimeKnocks } from '../../lib/scheme/one-time-key.ts';
import type { OneTimeClient } from '../../lib/scheme/one-time.ts';
import type { Match } from '../../lib/scheme/scheme.ts';
import type { KnockPort } from '../../lib/scheme/sequence.ts';

/**
 * `client` or `client@step` for a request (`a|b` for two at once), `!reason client` for a reject, `=client`
 * for a duplicate, null for nothing.
 */
export type Verdict = string | null;
export type Model = (packet: PacketView) => Verdict;

interface ModelDoor {
  readonly id: string;
  readonly knocks: readonly string[];
  readonly timeoutMs: number;
  readonly countsMistake: (packet: PacketView) => boolean;
}

interface Attempt {
  readonly source: string;
  readonly door: ModelDoor;
  readonly startMs: number;
  /** Identities of the packets that were its knocks. */
  readonly seen: string[];
}

/** Plain sequences. */
export function modelSequence(
  clients: Readonly<Record<string, { knocks: readonly KnockPort[]; timeoutMs: number }>>,
): Model {
  const doors = Object.entries(clients).map(([id, { knocks, timeoutMs }]) => ({
    id,
    knocks: knocks.map(({ port, protocol }) => `${protocol} ${port}`),
    timeoutMs,
    countsMistake: () => true,
  }));
  const walk = walker();
  return (packet) => (packet.protocol === TCP && !opensConnection(packet) ? null : walk(packet, doors));
}

/** What a scheme said, in the model's words. */
export function verdictOf(match: Match | null): Verdict {
  if (match === null) return null;
  if (match.kind === 'reject') return `!${match.reason} ${match.client ?? ''}`.trimEnd();
  if (match.kind === 'duplicate') return `=${match.client}`;
  return match.counter === null ? match.client : `${match.client}@${match.counter}`;
}

/** One-time over tcp. */
export function modelOneTimeTcp(clients: Readonly<Record<string, OneTimeClient>>): Model {
  const walk = walker();
  return (packet) => {
    if (packet.protocol !== TCP || !opensConnection(packet)) return null;
    const doors = stepsOf(clients, packet.timeMs).map(({ name, client, step }) => {
      const [low, high] = client.ports ?? [20000, 52767];
      return {
        id: `${name}@${step}`,
        knocks: oneTimeKnocks(client, step).map(({ port }) => `tcp ${port}`),
        timeoutMs: client.timeoutMs ?? 10_000,
        countsMistake: ({ dstPort }: PacketView) => dstPort >= low && dstPort <= high,
      };
    });
    return walk(packet, doors);
  };
}

/** One-time over udp. */
export function modelOneTimeUdp(clients: Readonly<Record<string, OneTimeClient>>): Model {
  let attempts: { id: string; source: string; untilMs: number; seen: Set<number> }[] = [];
  return (packet) => {
    if (packet.protocol !== UDP || packet.payloadLength !== 16) return null;
    const steps = stepsOf(clients, packet.timeMs);
    attempts = attempts.filter(({ id }) => steps.some(({ name, step }) => `${name}@${step}` === id));
    const tag = packet.bytes.subarray(packet.payloadStart, packet.payloadStart + 16);
    for (const { name, client, step } of steps) {
      const knocks = oneTimeKnocks(client, step);
      const index = knocks.findIndex((knock) => knock.tag.equals(tag));
      if (index < 0) continue;
      if (knocks[index]?.port !== packet.dstPort) return `!wrong-port ${name}`;
      const id = `${name}@${step}`;
      const source = formatAddress(sourceOf(packet));
      attempts = attempts.filter((one) => one.id !== id || one.untilMs >= packet.timeMs);
      let mine = attempts.find((one) => one.id === id && one.source === source);
      if (mine === undefined) {
        mine = { id, source, untilMs: packet.timeMs + (client.timeoutMs ?? 10_000), seen: new Set() };
        attempts.push(mine);
      }
      mine.seen.add(index);
      if (mine.seen.size < knocks.length) return null;
      attempts = attempts.filter((one) => one !== mine);
      return id;
    }
    return null;
  };
}

function stepsOf(clients: Readonly<Record<string, OneTimeClient>>, timeMs: number) {
  return Object.entries(clients).flatMap(([name, client]) => {
    const present = Math.floor(timeMs / 1000 / (client.stepSeconds ?? 10));
    return [-3, -2, -1, 0, 1, 2, 3]
      .map((offset) => ({ name, client, step: present + offset }))
      .filter(({ step }) => step >= 0);
  });
}

/** Doors with knocks in order; a packet is one line of the specification after the other. */
function walker(): (packet: PacketView, doors: readonly ModelDoor[]) => Verdict {
  let attempts: Attempt[] = [];
  return (packet, doors) => {
    const source = formatAddress(sourceOf(packet));
    const knock = `${packet.protocol === TCP ? 'tcp' : 'udp'} ${packet.dstPort}`;
    const identity = `${knock} from ${packet.srcPort} seq ${packet.seq}`;
    const isOver = ({ startMs, door }: Attempt): boolean =>
      Math.abs(packet.timeMs - startMs) > door.timeoutMs;
    const isDone = ({ seen, door }: Attempt): boolean => seen.length === door.knocks.length;

    const known = attempts.filter((one) => doors.some(({ id }) => id === one.door.id));
    const mine = known.filter((one) => one.source === source && !isOver(one));
    const others = known.filter((one) => one.source !== source);
    // A SYN of before is no news.
    if (packet.protocol === TCP && mine.some(({ seen }) => seen.includes(identity))) {
      attempts = [...others, ...mine];
      return null;
    }
    const opened: string[] = [];
    let isRepeat = false;
    const kept: Attempt[] = [];
    for (const attempt of mine) {
      const { door, seen } = attempt;
      if (isDone(attempt)) {
        kept.push(attempt);
      } else if (door.knocks[seen.length] === knock) {
        seen.push(identity);
        if (isDone(attempt)) opened.push(door.id);
        kept.push(attempt);
      } else if (seen.includes(identity)) {
        isRepeat = true;
        kept.push(attempt);
      } else if (!door.countsMistake(packet)) {
        kept.push(attempt);
      }
    }
    if (!isRepeat) {
      for (const door of doors) {
        const isUnderWay = kept.some((one) => one.door.id === door.id && !isDone(one));
        if (door.knocks[0] !== knock || isUnderWay || opened.includes(door.id)) continue;
        kept.push({ source, door, startMs: packet.timeMs, seen: [identity] });
      }
    }
    attempts = [...others, ...kept];
    return opened.length === 0 ? null : opened.join('|');
  };
}

function opensConnection({ flags }: PacketView): boolean {
  const [fin, rst, ack] = [1, 4, 16];
  return (flags & SYN) !== 0 && (flags & fin) === 0 && (flags & rst) === 0 && (flags & ack) === 0;
}
