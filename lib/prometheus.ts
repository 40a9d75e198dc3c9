// The prom-client adapter: what a listener counts as Prometheus metrics, in a registry that is passed in. prom-client is an
// optional peer and loaded here alone. Counting does not go through it: the registry reads the numbers when it is asked.

import { readFileSync } from 'node:fs';
import type { Counter, Gauge, Registry } from 'prom-client';
import { KnockCounts, type Count, type CountsReading } from './counts.ts';
import { KnockError, messageOf, printable, systemCode } from './errors.ts';

/** A `Registry` of prom-client; spelled out, so that types need no prom-client where it is not used. */
export interface PromRegistry {
  registerMetric(metric: never): void;
  metrics(): Promise<string>;
}

/** {@link promMetrics}' options. */
export interface PromOptions {
  /** Counts that are there already; new ones unless said. */
  readonly counts?: KnockCounts;
}

/** Seconds. A packet's time has whole milliseconds, so that finer steps would show nothing. */
const OPEN_BUCKETS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5];

/**
 * Metrics of a listener for Prometheus: `portknock_knocks_total` and its like, named and explained in docs/monitoring.md.
 * Once for a registry.
 *
 * @param registry - a `Registry` of prom-client 15, as in `new Registry()` or `register`
 * @returns what `KnockListener` takes as `metrics`
 * @throws KnockError `ERR_METRICS` when prom-client is not installed
 * @example
 * ```ts
 * import { Registry } from 'prom-client';
 *
 * const registry = new Registry();
 * const metrics = await promMetrics(registry);
 * const listener = new KnockListener({ source, schemes, driver, services, clients, metrics });
 * await listener.start();
 * console.log(await registry.metrics());
 * ```
 */
export async function promMetrics(
  registry: PromRegistry,
  { counts = new KnockCounts() }: PromOptions = {},
): Promise<KnockCounts> {
  const { Counter, Gauge, Histogram } = await loadPromClient();
  const registers = [registry] as unknown as Registry[];
  const openSeconds = new Histogram({
    name: 'portknock_knock_to_open_seconds',
    help: 'Time from the arrival of an accepted knock until its ports were open.',
    buckets: OPEN_BUCKETS,
    registers,
  });
  counts.onOpened((openMs) => {
    openSeconds.observe(openMs / 1000);
  });
  for (const [name, { help, labelNames, rows }] of Object.entries(COUNTERS)) {
    new Counter({
      ...{ name, help, labelNames, registers },
      collect() {
        show(this, rows(counts.read()));
      },
    });
  }
  new Gauge({
    name: 'portknock_grants_open',
    help: 'Grants that are open.',
    labelNames: ['service'],
    registers,
    collect() {
      show(this, counts.read().open);
    },
  });
  new Gauge({
    ...{ name: 'portknock_start_time_seconds', help: 'When counting began, Unix time.', registers },
  }).set(counts.read().sinceMs / 1000);
  new Gauge({
    ...{ name: 'portknock_build_info', help: 'The version, as a label of a constant 1.', registers },
    labelNames: ['version'],
  }).set({ version: version() }, 1);
  return counts;
}

/** What a counter shows. */
interface Shown {
  readonly help: string;
  readonly labelNames: readonly string[];
  readonly rows: (reading: CountsReading) => readonly Count<string>[];
}

const COUNTERS: Readonly<Record<string, Shown>> = {
  portknock_packets_total: {
    help: 'Captured frames: offered to the schemes (decoded), or why not. A duplicate was also decoded.',
    labelNames: ['outcome'],
    rows: ({ packets }) => packets,
  },
  portknock_packets_dropped_total: {
    help: 'Packets that were lost before they were looked at.',
    labelNames: [],
    rows: ({ dropped }) => [{ labels: {}, count: dropped }],
  },
  portknock_knocks_total: {
    help: 'Knocks: accepted, or the reason for which they were refused.',
    labelNames: ['scheme', 'result'],
    rows: ({ knocks }) => knocks,
  },
  portknock_grants_total: {
    help: 'Openings.',
    labelNames: ['service', 'scheme'],
    rows: ({ grants }) => grants,
  },
  portknock_grant_closes_total: {
    help: 'Openings that ended: used, expired, revoked, superseded.',
    labelNames: ['service', 'reason'],
    rows: ({ closes }) => closes,
  },
  portknock_errors_total: {
    help: 'Failures of the host, by code.',
    labelNames: ['code'],
    rows: ({ errors }) => errors,
  },
};

function show(metric: Counter | Gauge, rows: readonly Count<string>[]): void {
  metric.reset();
  for (const { labels, count } of rows) metric.inc(labels, count);
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
