// What a gateway would have done with a capture, and why: the pipeline itself, with a firewall on paper and replay state
// of its own, on the clock of the packets. Nothing is opened, and nothing is written.

import { parseAddress, type Address } from '../address.ts';
import type { PacketSource } from '../capture/source.ts';
import { printable } from '../errors.ts';
import { GrantManager } from '../grant/manager.ts';
import { noMetrics } from '../metrics.ts';
import { Access } from '../policy/access.ts';
import { LocalAddresses } from '../policy/local.ts';
import { memoryReplay } from '../replay/memory.ts';
import type { ExplainedPacket, Explanation } from './explanation.ts';
import { Feed } from './feed.ts';
import { Findings } from './findings.ts';
import { checkClients, needsOf, servicesOf, type ReloadOptions } from './options.ts';
import { PacketClock } from './packet-clock.ts';
import { paperDriver } from './paper-driver.ts';
import { Pipeline } from './pipeline.ts';
import { Tally } from './tally.ts';

/** What is explained, by which rules. */
export interface ExplainOptions extends ReloadOptions {
  /** The capture, as of `captureFile`. Its schemes must not be those of a listener: they are listened to for good. */
  readonly source: PacketSource;
  /**
   * The gateway's own addresses: packets to others are left out, and knocks from them refused. Without any, every
   * destination is taken for the gateway.
   */
  readonly hosts?: readonly string[];
  /** Whether knocks from loopback addresses can be real, as with a gateway on interface `lo`; false unless said. */
  readonly loopback?: boolean;
  /** Told of each packet that touched a scheme, in order. */
  readonly told?: (packet: ExplainedPacket) => void;
  /** For what is wrong with the capture without making it useless, such as a torn end. */
  readonly warning?: (message: string) => void;
  /** Aborting ends it as the end of the capture would. */
  readonly signal?: AbortSignal;
}

/**
 * Explains a capture. The replay state starts empty: a knock that was accepted before the capture began looks new.
 *
 * @throws TypeError, RangeError for options that cannot be used; KnockError `ERR_SAVEFILE` of the source
 * @example
 * ```ts
 * const { rules } = assemble(await loadConfig('portknockd.yaml'), { dryRun: true });
 * const { sources } = await explain({
 *   ...{ ...rules, source: captureFile('knocks.pcap') },
 *   told: ({ number, source, why }) => console.log(`${number} ${source}: ${why}`),
 * });
 * ```
 */
export async function explain(options: ExplainOptions): Promise<Explanation> {
  const services = servicesOf(options);
  checkClients(options);
  const hosts = hostsOf(options);
  const { source, told, warning = ignore, signal } = options;
  const clock = new PacketClock();
  const tally = new Tally();
  const unread: Record<string, number> = {};
  const countUnread = (why: string): void => {
    unread[why] = (unread[why] ?? 0) + 1;
  };
  const failures: unknown[] = [];
  const stop = new AbortController();
  const failed = (error: unknown): void => {
    failures.push(error);
    stop.abort();
  };
  const findings = new Findings((packet) => {
    tally.note(packet);
    try {
      if (failures.length === 0) told?.(packet);
    } catch (error) {
      failed(error);
    }
  });
  const local = hosts.length === 0 ? null : new LocalAddresses(clock, () => hosts);
  const grants = new GrantManager({
    ...{ driver: paperDriver(), services, clock },
    events: {
      closed: (grant, reason) => {
        if (reason === 'revoked') findings.closed(grant);
      },
      failed,
    },
  });
  const replay = memoryReplay();
  const isOwn = (address: Address): boolean => local?.has(address) ?? false;
  const pipeline = new Pipeline({
    rules: {
      schemes: options.schemes.map((scheme) => findings.watch(scheme)),
      access: new Access({ clients: options.clients, loopback: options.loopback ?? false, isOwn }),
    },
    ...{ local, replay, grants, failed, throttle: findings },
    metrics: {
      ...noMetrics,
      packet(outcome) {
        if (outcome !== 'decoded' && outcome !== 'duplicate') countUnread(outcome);
      },
    },
    accepted: (opened, scheme) => {
      for (const grant of opened) findings.granted(grant, scheme);
    },
  });
  const feed = new Feed({ pipeline, clock, findings, unread: countUnread });
  await replay.open({ clock, windowMs: 0, warning });
  await grants.start({ warning });
  try {
    const signals = signal === undefined ? [stop.signal] : [stop.signal, signal];
    await read(source, { feed, clock, needs: needsOf(options), warning, signal: AbortSignal.any(signals) });
    await feed.settled();
  } finally {
    await source.close();
    await grants.stop();
    await replay.close();
  }
  for (const failure of failures) throw failure;
  const { untold, number: packets } = findings;
  const { sources, unlisted } = tally;
  return { packets, timeMs: feed.timeMs, unread, untold, sources, unlisted };
}

interface Reading extends Pick<Parameters<PacketSource['open']>[0], 'clock' | 'needs'> {
  readonly feed: Feed;
  readonly warning: (message: string) => void;
  readonly signal: AbortSignal;
}

/** Resolves at the capture's end, or when it is to end. */
function read(source: PacketSource, { feed, clock, needs, warning, signal }: Reading): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = (): void => {
      resolve();
    };
    if (signal.aborted) end();
    signal.addEventListener('abort', end, { once: true });
    const sink = { frame: feed.frame, end, warning, dropped: ignore, error: reject };
    source.open({ sink, clock, needs }).catch(reject);
  });
}

function hostsOf({ hosts = [] }: Pick<ExplainOptions, 'hosts'>): readonly string[] {
  const wrong = hosts.find((host) => parseAddress(host) === null);
  if (wrong !== undefined) throw new TypeError(`hosts must be IP addresses, got '${printable(wrong)}'`);
  return hosts;
}

function ignore(): void {
  // What nobody asked for.
}
