// Listens to everything that decides about a packet, and puts together what became of it: the schemes' matches and
// remarks, the pipeline's grants and rejects. A whole knock is told when it has been decided.

import { formatAddress } from '../address.ts';
import type { Grant } from '../firewall/driver.ts';
import { TCP, destinationOf, sourceOf, type PacketView } from '../packet/view.ts';
import type { Refused } from '../policy/throttle.ts';
import type { MissRemark, Remark } from '../scheme/remark.ts';
import type { KnockRequest, Match, Scheme } from '../scheme/scheme.ts';
import type { ExplainedPacket } from './explanation.ts';
import { miss, refusal, step } from './reasons.ts';

/** Packets of a scheme that missed for one reason: so many are told, the others are only counted. */
const MOST_MISSES = 1000;

type Place = Pick<
  ExplainedPacket,
  'number' | 'timeMs' | 'source' | 'destination' | 'protocol' | 'port' | 'scheme'
>;

interface Undecided {
  readonly place: Place;
  readonly request: KnockRequest;
  readonly grants: Grant[];
  reject: Refused | null;
}

/** What became of the packets. */
export class Findings {
  /** Of the packet at hand. */
  number = 0;
  readonly #told: (packet: ExplainedPacket) => void;
  readonly #misses = new Map<string, number>();
  #undecided: Undecided[] = [];
  #untold = 0;

  constructor(told: (packet: ExplainedPacket) => void) {
    this.#told = told;
  }

  /** Whether a knock waits for what becomes of it. */
  get waits(): boolean {
    return this.#undecided.length > 0;
  }

  /** Packets that missed, and were only counted. */
  get untold(): number {
    return this.#untold;
  }

  /** The same scheme, listened to. */
  watch(scheme: Scheme): Scheme {
    const { name, needs, clients, validityMs, replayable } = scheme;
    scheme.observe?.((remark, packet) => {
      this.#remarked(name, remark, packet);
    });
    return {
      ...{ name, needs, clients, validityMs, replayable },
      match: (packet, history) => {
        const match = scheme.match(packet, history);
        if (match !== null) this.#matched(name, match, packet);
        return match;
      },
    };
  }

  granted(grant: Grant, scheme: string): void {
    this.#of(scheme)?.grants.push(grant);
  }

  /** A grant that a knock took back. */
  closed(grant: Grant): void {
    this.#undecided.find(({ request }) => request.close === true)?.grants.push(grant);
  }

  /** Also called for what a scheme itself refused, which has been told by then. */
  note(reject: Refused): void {
    const undecided = this.#of(reject.scheme);
    if (undecided !== undefined) undecided.reject = reject;
  }

  /** Tells what became of the knocks that waited for it. */
  decide(): void {
    const decided = this.#undecided;
    this.#undecided = [];
    for (const each of decided) this.#told(outcomeOf(each));
  }

  #of(scheme: string): Undecided | undefined {
    return this.#undecided.find(({ place }) => place.scheme === scheme);
  }

  #matched(scheme: string, match: Match, packet: PacketView): void {
    const place = this.#placeOf(scheme, packet);
    switch (match.kind) {
      case 'request':
        this.#undecided.push({ place, request: match, grants: [], reject: null });
        return;
      case 'duplicate':
        this.#told({
          ...{ ...place, verdict: 'duplicate', client: match.client },
          why: "the client's last knock once more: nothing to do",
        });
        return;
      case 'reject':
        this.#told({ ...place, ...refused(match) });
    }
  }

  #remarked(scheme: string, remark: Remark, packet: PacketView): void {
    if (remark.kind === 'missed') {
      this.#missed(scheme, remark, packet);
      return;
    }
    const { kind, client, knock, seen, knocks } = remark;
    const place = this.#placeOf(scheme, packet);
    this.#told({ ...place, verdict: kind, client, knock, seen, knocks, why: step(remark) });
  }

  #missed(scheme: string, remark: MissRemark, packet: PacketView): void {
    const { reason, clockOffsetMs, client } = remark;
    const before = this.#misses.get(reason) ?? 0;
    // One that names a client is no junk.
    if (before >= MOST_MISSES && client === undefined) {
      this.#untold += 1;
      return;
    }
    this.#misses.set(reason, before + 1);
    this.#told({
      ...{ ...this.#placeOf(scheme, packet), verdict: 'missed', reason },
      ...(client === undefined ? {} : { client }),
      ...(clockOffsetMs === undefined ? {} : { clockOffsetMs }),
      why: miss(reason, clockOffsetMs),
    });
  }

  #placeOf(scheme: string, packet: PacketView): Place {
    return {
      number: this.number,
      timeMs: packet.timeMs,
      source: formatAddress(sourceOf(packet)),
      destination: formatAddress(destinationOf(packet)),
      protocol: packet.protocol === TCP ? 'tcp' : 'udp',
      port: packet.dstPort,
      scheme,
    };
  }
}

function outcomeOf({ place, request, grants, reject }: Undecided): ExplainedPacket {
  const { client, close } = request;
  if (reject !== null) return { ...place, ...refused(reject) };
  const list = grants.map(textOf).join(', ');
  if (close === true) {
    const why = grants.length === 0 ? 'closes nothing: nothing was open' : `closes ${list}`;
    return { ...place, verdict: 'closed', client, grants, why };
  }
  return {
    ...place,
    verdict: 'opened',
    client,
    grants,
    why: `opens ${list}${termsOf(grants, place.timeMs)}`,
  };
}

function refused(
  rejection: Pick<Refused, 'reason' | 'client' | 'clockOffsetMs' | 'detail'>,
): Pick<ExplainedPacket, 'verdict' | 'reason' | 'client' | 'clockOffsetMs' | 'why'> {
  const { reason, client, clockOffsetMs } = rejection;
  return {
    verdict: 'refused',
    reason,
    ...(client === undefined ? {} : { client }),
    ...(clockOffsetMs === undefined ? {} : { clockOffsetMs }),
    why: refusal(rejection),
  };
}

function textOf({ service, port, protocol }: Grant): string {
  return `${service} (${protocol}/${port})`;
}

function termsOf(grants: readonly Grant[], timeMs: number): string {
  const [first] = grants;
  if (first === undefined) return 'nothing: its own time was over';
  const seconds = Math.round(Math.max(...grants.map(({ openUntil }) => openUntil - timeMs)) / 1000);
  const connections = first.connections === 1 ? '1 connection' : `${first.connections} connections`;
  return ` to ${first.source} for up to ${seconds} s, ${connections}`;
}
