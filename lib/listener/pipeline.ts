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
import type { KnockHistory, KnockRequest, Match, Rejection, Scheme } from '../scheme/scheme.ts';

/** What decides, and can be replaced while packets come. */
export interface Rules {
  readonly schemes: readonly Scheme[];
  readonly access: Access;
}

/** What the line is built from. */
export interface PipelineParts {
  readonly rules: Rules;
  /** The host's addresses, when a packet's destination must be one of them. */
  readonly local: LocalAddresses | null;
  readonly replay: ReplayStore;
  readonly grants: GrantManager;
  readonly throttle: Pick<RejectThrottle, 'note'>;
  readonly metrics: Metrics;
  /** What a knock opened; nothing when it asked to close. `timeMs`: when its packet came. */
  readonly accepted: (grants: readonly Grant[], scheme: string, timeMs: number) => void;
  readonly failed: (error: unknown) => void;
}

/** DEBUG=portknock:packet prints a line per packet; formatted only when somebody reads it. */
const log = debug('portknock:packet');

/**
 * Knocks of one client that are decided at a time. They wait for the disk and the firewall, so a flood of good ones would
 * grow our memory, and whoever reloads or knocks after it would wait for all of them.
 */
const MOST_UNDECIDED = 1000;

/** A frame in, perhaps a grant out. */
export class Pipeline {
  readonly #parts: PipelineParts;
  readonly #view = new PacketView();
  readonly #pending = new Set<Promise<void>>();
  /** How many of them are which client's. */
  readonly #undecided = new Map<string, number>();
  readonly #histories = new WeakMap<Scheme, KnockHistory>();
  #rules: Rules;

  constructor(parts: PipelineParts) {
    this.#parts = parts;
    this.#rules = parts.rules;
  }

  /** From the next packet on. */
  replaceRules(rules: Rules): void {
    this.#rules = rules;
  }

  /** Takes one frame; see {@link PacketSink.frame}. */
  readonly frame: PacketSink['frame'] = (bytes, start, captured, wire, link, timeMs) => {
    const { local, metrics } = this.#parts;
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
    for (const scheme of this.#rules.schemes) {
      const match = scheme.match(packet, this.#historyOf(scheme));
      if (match !== null) this.#take(scheme, match, packet);
    }
  };

  #historyOf(scheme: Scheme): KnockHistory {
    const known = this.#histories.get(scheme);
    if (known !== undefined) return known;
    const { replay } = this.#parts;
    const history = { floor: (client: string) => replay.floor(accountOf(scheme, client)) };
    this.#histories.set(scheme, history);
    return history;
  }

  /** Resolves when every knock that was being handled has been decided. */
  async settled(): Promise<void> {
    await Promise.all(this.#pending);
  }

  #take(scheme: Scheme, match: Match, packet: PacketView): void {
    switch (match.kind) {
      case 'duplicate':
        this.#parts.metrics.packet('duplicate');
        return;
      case 'reject':
        this.#reject(scheme, sourceOf(packet), match);
        return;
      case 'request':
        this.#decide(scheme, match, packet);
    }
  }

  #decide(scheme: Scheme, request: KnockRequest, packet: PacketView): void {
    const { client } = request;
    const source = sourceOf(packet);
    const before = this.#undecided.get(client) ?? 0;
    if (before >= MOST_UNDECIDED) {
      this.#reject(scheme, source, { reason: 'too-many-knocks', client });
      return;
    }
    this.#undecided.set(client, before + 1);
    const work = this.#admit(scheme, request, source, packet.timeMs)
      .catch((error: unknown) => {
        this.#parts.failed(error);
      })
      .finally(() => {
        this.#pending.delete(work);
        const left = (this.#undecided.get(client) ?? 1) - 1;
        if (left > 0) this.#undecided.set(client, left);
        else this.#undecided.delete(client);
      });
    this.#pending.add(work);
  }

  async #admit(scheme: Scheme, request: KnockRequest, source: Address, timeMs: number): Promise<void> {
    const { client } = request;
    const rules = this.#rules;
    const verdict = rules.access.authorize({ request, source, timeMs });
    if (!verdict.granted) {
      this.#reject(scheme, source, { reason: verdict.reason, client });
      return;
    }
    // Whoever repeats what he has recorded must not make us write.
    if (this.#isUsed(scheme, request)) {
      this.#reject(scheme, source, { reason: 'replayed', client });
      return;
    }
    const claim = this.#claim(scheme, request);
    // While the claim is written the grants are made ready.
    const isAllowed = async (): Promise<boolean> =>
      (await claim.catch(() => 'replay-failed')) === null && rules === this.#rules;
    const opened = await this.#change(request, verdict, isAllowed);
    const reason = await claim;
    if (reason !== null) this.#reject(scheme, source, { reason, client });
    else if (opened === null) this.#reject(scheme, source, { reason: 'grant-failed', client });
    // The rules were replaced while the claim was written: what is claimed needs no claim.
    else if (opened.length === 0 && rules !== this.#rules)
      await this.#admit(scheme, claimed(request), source, timeMs);
    else this.#parts.accepted(opened, scheme.name, timeMs);
  }

  /** Whether that is known already; else the claim says. */
  #isUsed(scheme: Scheme, { client, account = client, counter, once }: KnockRequest): boolean {
    const { replay } = this.#parts;
    const name = accountOf(scheme, account);
    if (once !== undefined) return replay.wasClaimed(name, once.id);
    const floor = counter === null ? null : replay.floor(name);
    return floor !== null && counter !== null && counter <= floor;
  }

  /** Why it may not be used, or null: it is used up, for good. */
  async #claim(
    scheme: Scheme,
    { client, account = client, counter, once }: KnockRequest,
  ): Promise<Rejection['reason'] | null> {
    const { replay } = this.#parts;
    const name = accountOf(scheme, account);
    if (once !== undefined) return refusalOf(await replay.claimOnce(name, once.id, once.untilMs));
    return counter === null ? null : refusalOf(await replay.claim(name, counter));
  }

  /** The new grants, or null when the firewall refused. */
  async #change(
    { client, close, until }: KnockRequest,
    { services, source }: { readonly services: readonly string[]; readonly source: string },
    isAllowed: () => Promise<boolean>,
  ): Promise<readonly Grant[] | null> {
    const { grants, failed } = this.#parts;
    try {
      if (close !== true) {
        return await grants.issue({
          ...{ client, source, services, isAllowed },
          ...(until === undefined ? {} : { until }),
        });
      }
      if (await isAllowed()) await grants.revokeAll({ client, services });
      return [];
    } catch (error) {
      failed(error);
      return null;
    }
  }

  #reject(scheme: Scheme, source: Address, rejection: Omit<Rejection, 'kind'>): void {
    const { reason, client, clockOffsetMs, detail } = rejection;
    const { metrics, throttle } = this.#parts;
    metrics.reject(reason, scheme.name);
    throttle.note({
      reason,
      source,
      scheme: scheme.name,
      ...(client === undefined ? {} : { client }),
      ...(clockOffsetMs === undefined ? {} : { clockOffsetMs }),
      ...(detail === undefined ? {} : { detail }),
    });
  }
}

/** A client that changes its scheme starts another account: the counters of two schemes cannot be compared. */
function accountOf({ name }: Scheme, client: string): string {
  return `${name} ${client}`;
}

/** The same request, with nothing more to claim. */
function claimed({ once: _, ...request }: KnockRequest): KnockRequest {
  return { ...request, counter: null };
}

function refusalOf(result: Awaited<ReturnType<ReplayStore['claim']>>): Rejection['reason'] | null {
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
