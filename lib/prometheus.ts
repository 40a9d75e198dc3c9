// The prom-client adapter: what a listener counts as Prometheus metrics, in a registry that is passed in. prom-client is an
// optional peer and loaded here alone. Counting does not go through it: the registry reads the numbers when it is asked.

import { readFileSync } from 'node:fs';
import type { Registry } from 'prom-client';
import { KnockCounts, type Count } from './counts.ts';
import { KnockError, messageOf, printable, systemCode } from './errors.ts';

/** A `Registry` of prom-client; spelled out, so that types need no prom-client where it is not used. */
export interface PromRegistry {
  /** As prom-client has it. */
  registerMetric(metric: never): void;
  /** Everything in it, as text. */
  metrics(): Promise<string>;
}

/** {@link promMetrics}' options. */
export interface PromOptions {
  /** A `Registry` of prom-client 15, as in `new Registry()` or `register`; a new one unless said. */
  readonly registry?: PromRegistry;
  /** Counts that are there already; new ones unless said. */
  readonly counts?: KnockCounts;
  /** Adds the process's memory, processor time and start, by their usual names. */
  readonly process?: boolean;
}

/** What {@link promMetrics} made. */
export interface PromMetrics {
  /** What `KnockListener` takes. */
  readonly metrics: KnockCounts;
  /** All metrics of the registry in Prometheus's text format. */
  readonly text: () => Promise<string>;
}

/** Seconds. A packet's time has whole milliseconds, so that finer steps would show nothing. */
const OPEN_BUCKETS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5];

/**
 * Metrics of a listener for Prometheus: `portknock_knocks_total` and its like, named and explained in docs/monitoring.md.
 * Once for a registry. Labels have few values: neither clients nor sources are among them.
 *
 * @throws KnockError `ERR_METRICS` when prom-client, an optional peer, is not installed
 * @example
 * ```ts
 * import { register } from 'prom-client';
 *
 * const { metrics } = await promMetrics({ registry: register });
 * const listener = new KnockListener({ source, schemes, driver, services, clients, metrics });
 * await listener.start();
 * console.log(await register.metrics());
 * ```
 */
export async function promMetrics(options: PromOptions = {}): Promise<PromMetrics> {
  const client = await loadPromClient();
  const {
    registry = new client.Registry(),
    counts = new KnockCounts(),
    process: ofProcess = false,
  } = options;
  const registers = [registry] as unknown as Registry[];
  const openSeconds = new client.Histogram({
    name: 'portknock_knock_to_open_seconds',
    help: 'Time from the arrival of an accepted knock until its ports were open.',
    buckets: OPEN_BUCKETS,
    registers,
  });
  counts.onOpened((openMs) => {
    openSeconds.observe(openMs / 1000);
  });
  for (const shown of [...SHOWN, ...(ofProcess ? OF_PROCESS : [])]) {
    const { name, help, labelNames = [], rows } = shown;
    const Kind = name.endsWith('_total') ? client.Counter : client.Gauge;
    new Kind({
      ...{ name, help, labelNames, registers },
      collect() {
        this.reset();
        for (const { labels, count } of rows(counts)) this.inc(labels, count);
      },
    });
  }
  return { metrics: counts, text: () => registry.metrics() };
}

/** A counter, by its name, or a gauge. */
interface Shown {
  readonly name: string;
  readonly help: string;
  readonly labelNames?: readonly string[];
  readonly rows: (counts: KnockCounts) => readonly Count<string>[];
}

const SHOWN: readonly Shown[] = [
  {
    name: 'portknock_packets_total',
    help: 'Captured frames: offered to the schemes (decoded), or why not. A duplicate was also decoded.',
    labelNames: ['outcome'],
    rows: (counts) => counts.read().packets,
  },
  {
    name: 'portknock_packets_dropped_total',
    help: 'Packets that were lost before they were looked at.',
    rows: (counts) => one(counts.read().dropped),
  },
  {
    name: 'portknock_knocks_total',
    help: 'Knocks: accepted, or the reason for which they were refused.',
    labelNames: ['scheme', 'result'],
    rows: (counts) => counts.read().knocks,
  },
  {
    name: 'portknock_grants_total',
    help: 'Openings.',
    labelNames: ['service', 'scheme'],
    rows: (counts) => counts.read().grants,
  },
  {
    name: 'portknock_grants_open',
    help: 'Openings that have not ended.',
    labelNames: ['service'],
    rows: (counts) => counts.read().open,
  },
  {
    name: 'portknock_grant_closes_total',
    help: 'Openings that ended: used, expired, revoked, superseded.',
    labelNames: ['service', 'reason'],
    rows: (counts) => counts.read().closes,
  },
  {
    name: 'portknock_errors_total',
    help: 'Failures of the host, by code.',
    labelNames: ['code'],
    rows: (counts) => counts.read().errors,
  },
  {
    name: 'portknock_start_time_seconds',
    help: 'When counting began, Unix time.',
    rows: (counts) => one(counts.read().sinceMs / 1000),
  },
  {
    name: 'portknock_build_info',
    help: 'A constant 1, with the version as its label.',
    labelNames: ['version'],
    rows: () => [{ labels: { version: version() }, count: 1 }],
  },
];

const OF_PROCESS: readonly Shown[] = [
  {
    name: 'process_resident_memory_bytes',
    help: 'Resident memory.',
    rows: () => one(process.memoryUsage.rss()),
  },
  {
    name: 'process_cpu_seconds_total',
    help: 'Processor time, user and system.',
    rows: () => one((process.cpuUsage().user + process.cpuUsage().system) / 1e6),
  },
  {
    name: 'process_start_time_seconds',
    help: 'When the process started, Unix time.',
    rows: () => one(Math.round(performance.timeOrigin) / 1000),
  },
];

function one(count: number): readonly Count<string>[] {
  return [{ labels: {}, count }];
}

async function loadPromClient() {
  try {
    return await import('prom-client');
  } catch (cause) {
    const absent = ['ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND'].includes(systemCode(cause));
    const why = absent ? 'is not installed' : `cannot be loaded: ${printable(messageOf(cause))}`;
    const message = `package prom-client ${why}, and metrics need it (npm install prom-client@15, beside portknock)`;
    throw new KnockError('ERR_METRICS', message, { cause });
  }
}

function version(): string {
  try {
    const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
    return (JSON.parse(text) as { version: string }).version;
  } catch {
    // Bundled into somebody's program, we have no package.json.
    return 'unknown';
  }
}
