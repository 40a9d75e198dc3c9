// Where knockd or fwknopd is better than we are, found in the rows of a run: each of our rows beside the best peer's row
// for the same thing.

import type { Part, Row } from './result.ts';

interface Rule {
  /** What a row is a figure of; rows of the same are compared. `null`: not compared. */
  readonly same: (row: Row) => string | null;
  readonly better: (row: Row) => 'less' | 'more';
}

const OURS = 'portknock';
const PEERS = ['knockd', 'fwknopd'];
/** What is closer than this is the same. */
const NEAR = 1.05;
/** Smaller differences than these are noise, whatever their ratio. */
const NOISE: Readonly<Record<string, number>> = { 'CPU ms per million': 5, 'CPU s per hour': 0.05 };
/** Who lost more than this of what was aimed at him is not faster, percent. */
const LOSS = 1;

const RULES: Readonly<Record<Part, Rule>> = {
  open: { same: ({ unit }) => unit, better: () => 'less' },
  cpu: {
    same: ({ unit, variant = '' }) => {
      if (unit.startsWith('%')) return null;
      return variant.endsWith('unrelated traffic') ? 'unrelated traffic' : 'junk aimed at the filter';
    },
    better: () => 'less',
  },
  flood: { same: ({ variant = '' }) => variant.slice(variant.lastIndexOf(', ') + 2), better: () => 'more' },
  savefile: {
    same: ({ variant = '' }) => {
      const what = variant.slice(Math.max(0, variant.lastIndexOf(', '))).replace(/^, /u, '');
      // What each of them looks at the longest.
      return /sniffed|base64/u.test(what) ? 'junk that passes for a knock at first' : what;
    },
    better: () => 'more',
  },
  idle: { same: ({ unit }) => unit, better: () => 'less' },
  memory: {
    same: ({ variant = '' }) => (variant.endsWith('idle') ? 'idle' : 'after junk'),
    better: () => 'less',
  },
  grants: { same: ({ unit }) => unit, better: ({ unit }) => (unit === 'ms' ? 'less' : 'more') },
};

/** One sentence for each row of a peer that beats some of ours. */
export function rivalsOf(part: Part, rows: readonly Row[]): string[] {
  const { same, better } = RULES[part];
  const beaten = new Map<Row, Row[]>();
  for (const row of rows) {
    const what = same(row);
    if (row.subject !== OURS || what === null) continue;
    const sign = better(row) === 'less' ? 1 : -1;
    const [best] = rows
      .filter((each) => PEERS.includes(each.subject) && same(each) === what && !isLossy(each, rows))
      .sort((one, other) => sign * (figure(one) - figure(other)));
    if (best !== undefined && isBeaten(row, best, sign)) beaten.set(best, [...(beaten.get(best) ?? []), row]);
  }
  return [...beaten].map(([best, ours]) => {
    const worse = ours.map((row) => `${said(row)} (${nameOf(row)})`).join(', ');
    return `${nameOf(best)}: ${said(best)} ${best.unit}; ours: ${worse}`;
  });
}

function isBeaten(row: Row, best: Row, sign: number): boolean {
  const by = sign * (figure(row) - figure(best));
  return by > (NOISE[row.unit] ?? 0) && by > (NEAR - 1) * Math.abs(figure(best));
}

function isLossy(row: Row, rows: readonly Row[]): boolean {
  const share = rows.find((each) => each.unit === '% dropped' && nameOf(each) === nameOf(row));
  return (share?.value ?? 0) > LOSS;
}

function figure({ value, median }: Row): number {
  return value ?? median ?? Number.NaN;
}

function nameOf({ subject, scheme, driver, variant }: Row): string {
  return [subject, scheme, driver, variant].filter((word) => word !== undefined).join(', ');
}

function said(row: Row): string {
  const value = figure(row);
  return value >= 100 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(3)));
}
