// The way of a packet, one call per arrow:
//   capture -> decode -> scheme.match -> policy.authorize -> replay.claim -> grant.issue -> firewall.open -> event
// Cheap before dear. A bad packet is a value, counted and perhaps reported, never an exception. Nothing is remembered
// about a source before it is authenticated (but for the bounded table of plain sequences), and the claim is durable
// before the firewall opens. Authorization comes before the claim: a knock that may not open anything spends nothing.

import debug from 'debug';
import { formatAddress, type Address } from '../address.ts';
import type { PacketSink } from '../capture/source.ts';
import type { Grant } from '../firewall/driver.ts';
import type { GrantManager } from '../grant/manager.ts';
import type { Metrics } from '../metrics.ts';
import { decode } from '../packet/decode.ts';
import { PacketView, sourceOf } from '../packet/view.ts';
import type { Access } from '../policy/access.ts';
import type { LocalAddresses } from '../policy/local.ts';
import type { RejectThrottle } from '../policy/throttle.ts';
import type { ReplayStore } from '../replay/store.ts';
import type { Match, RejectReason, Scheme } from '../scheme/scheme.ts';

/** What the line is built from. */
export interface PipelineParts {
  readonly schemes: readonly Scheme[];
  readonly access: Access;
  /** The host's addresses, when a packet's destination must be one of them. */
  readonly local: LocalAddresses | null;
  readonly replay: ReplayStore;
  readonly grants: GrantManager;
  readonly throttle: RejectThrottle;
  readonly metrics: Metrics;
  readonly granted: (grant: Grant, scheme: string) => void;
  readonly failed: (error: unknown) => void;
}

/** DEBUG=portknock:packet prints a line per packet; formatted only when somebody reads it. */
const log = debug('portknock:packet');

type Request = Extract<Match, { kind: 'request' }>;

/** A frame in, perhaps a grant out. */
export class Pipeline {
  readonly #parts: PipelineParts;
  readonly #view = new PacketView();
  readonly #pending = new Set<Promise<void>>();

  constructor(parts: PipelineParts) {
    this.#parts = parts;
  }

  /** Takes one frame; see {@link PacketSink.frame}. */
  readonly frame: PacketSink['frame'] = (bytes, start, captured, wire, link, timeMs) => {
    const { schemes, local, metrics } = this.#parts;
    const packet = this.#view;
    const fault = decode(packet, bytes, start, captured, wire, link, timeMs);
    if (fault !== null) {
      if (log.enabled) log('%d bytes refused: %s', captured, fault);
      metrics.packet(fault);
      return;
    }
    if (local !== null && !local.isDestination(packet)) {
      metrics.packet('not-ours');
      return;
    }
    metrics.packet('decoded');
    if (log.enabled)
      log('%s to port %d, IP protocol %d', formatAddress(sourceOf(packet)), packet.dstPort, packet.protocol);
    for (const scheme of schemes) {
      const match = scheme.match(packet);
      if (match !== null) this.#take(scheme, match, sourceOf(packet));
    }
  };

  /** Resolves when every knock that was being handled has been decided. */
  async settled(): Promise<void> {
    await Promise.all(this.#pending);
  }

  #take(scheme: Scheme, match: Match, source: Address): void {
    if (match.kind === 'reject') {
      this.#reject(match.reason, scheme, source, match.client);
      return;
    }
    const work = this.#admit(scheme, match, source).catch((error: unknown) => {
      this.#parts.failed(error);
    });
    this.#pending.add(work);
    void work.then(() => this.#pending.delete(work));
  }

  async #admit(scheme: Scheme, request: Request, source: Address): Promise<void> {
    const { access, replay, granted } = this.#parts;
    const verdict = access.authorize(request.client, source, request.services);
    if (!verdict.granted) {
      this.#reject(verdict.reason, scheme, source, request.client);
      return;
    }
    if (request.counter !== null) {
      const refusal = refusalOf(await replay.claim(request.client, request.counter));
      if (refusal !== null) {
        this.#reject(refusal, scheme, source, request.client);
        return;
      }
    }
    const opened = await this.#open(request, source, verdict.services);
    if (opened === null) this.#reject('grant-failed', scheme, source, request.client);
    else for (const grant of opened) granted(grant, scheme.name);
  }

  /** The grants, or null when the firewall refused. */
  async #open(
    { client }: Request,
    source: Address,
    services: readonly string[],
  ): Promise<readonly Grant[] | null> {
    try {
      return await this.#parts.grants.issue({ client, source: formatAddress(source), services });
    } catch (error) {
      this.#parts.failed(error);
      return null;
    }
  }

  #reject(reason: RejectReason, scheme: Scheme, source: Address, client: string | undefined): void {
    const { metrics, throttle } = this.#parts;
    metrics.reject(reason, scheme.name);
    const reject = { reason, source: formatAddress(source), scheme: scheme.name, count: 1 };
    throttle.note(client === undefined ? reject : { ...reject, client });
  }
}

function refusalOf(result: Awaited<ReturnType<ReplayStore['claim']>>): RejectReason | null {
  switch (result) {
    case 'claimed':
      return null;
    case 'replayed':
      return 'replayed';
    case 'window':
      return 'replay-window';
    case 'failed':
      return 'replay-failed';
  }
}
