// What a run of `npm run bench:peers` leaves behind: benchmarks/results/peers.json, which the table and the plot of
// docs/benchmarks.md are drawn from.

import type { Machine } from '../machine.ts';

/** The parts of issue 4, point 6, a to g. */
export const PARTS = ['open', 'cpu', 'flood', 'savefile', 'idle', 'memory', 'grants'] as const;
export type Part = (typeof PARTS)[number];

/** One line of a part: a time with median and 95th percentile, or one value. */
export interface Row {
  /** `portknock`, `knockd`, `fwknopd`, or a floor such as `libpcap loop in C`. */
  readonly subject: string;
  /** Of ours: `spa suite 1`, `spa suite 2`, `one-time`, `sequence`. */
  readonly scheme?: string;
  /** Of ours: `iptables`, `nftables`. */
  readonly driver?: string;
  /** What else sets it apart: `default`, `tuned`, `junk at 100,000/s`... */
  readonly variant?: string;
  /** Of median, p95 and value: `ms`, `%`, `CPU ms per million`, `grants/s`, `MiB`... */
  readonly unit: string;
  readonly median?: number;
  readonly p95?: number;
  readonly value?: number;
  /** How many times it was measured, where that is not the run's `rounds`. */
  readonly count?: number;
  readonly note?: string;
}

/** The file. */
export interface Result {
  readonly date: string;
  readonly machine: Machine;
  /** Of those who are compared: portknock, knockd, fwknopd. */
  readonly versions: Readonly<Record<string, string>>;
  /** What to type to get these figures, and how each daemon was started. */
  readonly commands: readonly string[];
  readonly rounds: number;
  readonly parts: Readonly<Partial<Record<Part, readonly Row[]>>>;
}

/** Median and 95th percentile of times in any order. */
export function spread(times: readonly number[]): { median: number; p95: number } {
  const sorted = [...times].sort((one, other) => one - other);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
  return { median: at(0.5), p95: at(0.95) };
}

/** As people read it. */
export function number(value: number): string {
  if (Number.isNaN(value)) return '-';
  return value >= 100 || Number.isInteger(value)
    ? Math.round(value).toLocaleString('en')
    : value.toFixed(value < 10 ? 2 : 1);
}
