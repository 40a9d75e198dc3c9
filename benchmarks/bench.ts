// How a hot path is measured: mitata's medians and percentiles, the heap that V8 allocates per operation, and each row
// beside the raw operation of the same run. A ratio is comparable between machines; a figure alone is not.

import { measure } from 'mitata';
import { getHeapStatistics, GCProfiler } from 'node:v8';

/** One line of a result. */
export interface Row {
  readonly bench: string;
  readonly name: string;
  /** What is counted. */
  readonly unit: string;
  readonly perSecond: number;
  /** Of one unit, nanoseconds. */
  readonly median: number;
  readonly p99: number;
  /** Bytes of JavaScript heap allocated per unit; null where it was not measured (other processes). */
  readonly bytes: number | null;
  /** The row that this one stands beside, and how many times its median this one takes. */
  readonly beside: string | null;
  readonly times: number | null;
}

export interface RowOptions {
  readonly unit?: string;
  /** Units that one call handles. */
  readonly per?: number;
  /** The raw operation. */
  readonly beside?: Row | undefined;
  /** Least time to measure for, milliseconds; 600. */
  readonly forMs?: number;
  /** The row must not allocate: a run in which it does fails. Time that passes may cost a little, and measuring does. */
  readonly allocates?: 'nothing';
}

/** Collects the rows of one benchmark. */
export class Bench {
  readonly name: string;
  /** Very short runs, which show only that the benchmark works. */
  readonly smoke: boolean;
  readonly rows: Row[] = [];
  readonly #print: (line: string) => void;

  constructor(name: string, smoke: boolean, print: (line: string) => void) {
    this.name = name;
    this.smoke = smoke;
    this.#print = print;
  }

  /** Measures `run`, which may be asynchronous. */
  async row(name: string, run: () => unknown, options: RowOptions = {}): Promise<Row> {
    const { per = 1, forMs = 600 } = options;
    const calls = await warmUp(run, this.smoke ? 1 : WARM_UP_MS);
    const stats = await measure(run, {
      min_cpu_time: (this.smoke ? 1 : forMs) * 1e6,
      ...(this.smoke ? { min_samples: 2, batch_samples: 64 } : {}),
    });
    const bytes = (await allocated(() => repeat(run, calls))) / (calls * per);
    const row = this.add(name, { median: stats.p50 / per, p99: stats.p99 / per, bytes }, options);
    // In a smoke run the compiler is not through yet, and what it allocates would count.
    must(
      this.smoke || options.allocates === undefined || bytes < ALLOCATES,
      `${name} allocates ${bytes} bytes`,
    );
    return row;
  }

  /** Adds what was measured in another way; times are nanoseconds per unit. */
  add(
    name: string,
    { median, p99, bytes }: { median: number; p99: number; bytes: number | null },
    { unit = 'operations', beside }: RowOptions = {},
  ): Row {
    return this.take({
      bench: this.name,
      name,
      unit,
      perSecond: 1e9 / median,
      median,
      p99,
      bytes,
      beside: beside?.name ?? null,
      times: beside === undefined ? null : median / beside.median,
    });
  }

  take(row: Row): Row {
    this.rows.push(row);
    this.#print(formatRow(row));
    return row;
  }

  note(text: string): void {
    this.#print(`  ${text}`);
  }
}

const NAME_WIDTH = 68;
/** Even a number on the heap has 16 bytes; what is below is the collector's and the compiler's own. */
export const ALLOCATES = 4;
/** mitata looks only at the first calls to choose how to measure; they have to be like the later ones. */
const WARM_UP_MS = 100;

export const HEADER = `  ${'what'.padEnd(NAME_WIDTH)} ${'per second'.padStart(13)} ${'median'.padStart(10)} ${'p99'.padStart(10)} ${'bytes'.padStart(9)}  beside`;

export function formatRow(row: Row): string {
  const name = row.name.padEnd(NAME_WIDTH);
  const rate = Math.round(row.perSecond).toLocaleString('en').padStart(13);
  const bytes = (row.bytes === null ? '-' : shortNumber(row.bytes)).padStart(9);
  const beside = row.beside === null || row.times === null ? '' : `  ${row.times.toFixed(2)} x ${row.beside}`;
  return `  ${name} ${rate} ${time(row.median).padStart(10)} ${time(row.p99).padStart(10)} ${bytes}${beside}`;
}

/**
 * Bytes of heap that `run` allocates in all. mitata's own figure leaves out whatever a garbage collection falls into,
 * which for the dear operations is nearly everything; the profiler tells the heap before and after each.
 */
export async function allocated(run: () => Promise<void>): Promise<number> {
  const profiler = new GCProfiler();
  globalThis.gc?.();
  profiler.start();
  let last = heapBytes();
  await run();
  const end = heapBytes();
  let total = 0;
  for (const { beforeGC, afterGC } of profiler.stop().statistics) {
    total += beforeGC.heapStatistics.usedHeapSize - last;
    last = afterGC.heapStatistics.usedHeapSize;
  }
  return Math.max(0, total + end - last);
}

/**
 * Runs every way once per round and then again, so that all of them see the same machine; the first round only warms
 * up. Returns the times of each, nanoseconds, sorted.
 */
export async function takeTurns<Way extends string>(
  ways: Readonly<Record<Way, (round: number) => Promise<unknown>>>,
  rounds: number,
): Promise<Readonly<Record<Way, readonly number[]>>> {
  const names = Object.keys(ways) as Way[];
  const times = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Way, number[]>;
  for (let round = 0; round <= rounds; round += 1) {
    for (const name of names) {
      const start = performance.now();
      await ways[name](round);
      if (round > 0) times[name].push((performance.now() - start) * 1e6);
    }
  }
  for (const name of names) times[name].sort((one, other) => one - other);
  return times;
}

/** Median and 99th percentile of sorted times of `per` units each. */
export function figures(sorted: readonly number[], per = 1): { median: number; p99: number } {
  const at = (share: number): number => (sorted[Math.floor(share * sorted.length)] ?? Number.NaN) / per;
  return { median: at(0.5), p99: at(0.99) };
}

/** Whoever measures must have measured the thing: a benchmark that did not do its work is no figure. */
export function must(condition: boolean, what: string): void {
  if (!condition) throw new Error(`benchmark is broken: ${what}`);
}

/** Returns how many calls there was time for. */
async function warmUp(run: () => unknown, ms: number): Promise<number> {
  const end = performance.now() + ms;
  let calls = 0;
  for (let more = 1; performance.now() < end; more *= 2) {
    await repeat(run, more);
    calls += more;
  }
  return calls;
}

async function repeat(run: () => unknown, calls: number): Promise<void> {
  for (let i = 0; i < calls; i += 1) {
    const result = run();
    if (result instanceof Promise) await result;
  }
}

function heapBytes(): number {
  return getHeapStatistics().used_heap_size;
}

function time(ns: number): string {
  if (ns < 1e3) return `${shortNumber(ns)} ns`;
  if (ns < 1e6) return `${shortNumber(ns / 1e3)} us`;
  if (ns < 1e9) return `${shortNumber(ns / 1e6)} ms`;
  return `${shortNumber(ns / 1e9)} s`;
}

function shortNumber(value: number): string {
  if (value < 0.005) return '0';
  if (value < 10) return value.toFixed(2);
  return value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString('en');
}
