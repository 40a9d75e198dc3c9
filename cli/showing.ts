// How `portknock status` and `portknock grants` look: what the daemon answered, for people.

import { printable } from '../lib/knocker.ts';
import type { GrantRow, Standing } from './standing.ts';
import { table, type Column } from './table.ts';
import { wrap } from './wrap.ts';

/** The daemon's answer to `status`. */
export type Status = ReturnType<Standing['totals']> & {
  readonly version: string;
  readonly pid: number;
  readonly config: string;
  readonly since: string;
  readonly uptime_seconds: number;
  readonly source: string;
  readonly driver: string;
  readonly services: readonly string[];
  readonly clients: number;
  readonly replay_durable: boolean;
  readonly metrics: string | null;
  readonly grants_open: number;
};

/** Its answer to `grants`. */
export interface Grants {
  /** What is open, in no order. */
  readonly rows: readonly GrantRow[];
  readonly ended: readonly GrantRow[];
  readonly ended_count: number;
}

const SHORT_ID = 8;
const LABEL_WIDTH = 10;

const GRANT_COLUMNS: readonly Column[] = [
  { title: 'ID' },
  { title: 'CLIENT', least: 12 },
  { title: 'SERVICE', least: 8 },
  { title: 'PORT', right: true },
  { title: 'SOURCE', below: 'from ' },
  { title: 'LEFT', right: true },
  { title: 'CONN', right: true },
  { title: 'STATE' },
];

const REJECT_COLUMNS: readonly Column[] = [
  { title: 'REASON' },
  { title: 'SCHEME' },
  { title: 'COUNT', right: true },
  { title: 'LAST', right: true },
  { title: 'CLIENT', least: 12 },
  { title: 'SOURCE', below: 'from ' },
];

/** What is open, the one that ends first at the top; then what has ended, the last one at the top. */
export function inOrder({ rows, ended }: Grants): readonly GrantRow[] {
  return [...rows.toSorted((one, other) => one.open_until.localeCompare(other.open_until)), ...ended];
}

/** Grants as a table. */
export function grantLines(all: readonly GrantRow[], nowMs = Date.now()): readonly string[] {
  if (all.length === 0) return ['no grant is open'];
  const idWidth = idWidthOf(all);
  const rows = all.map(({ id, client, service, protocol, port, source, ...rest }) => [
    id.slice(0, idWidth),
    printable(client),
    service,
    `${port}/${protocol}`,
    source,
    rest.state === 'open' ? span(Date.parse(rest.open_until) - nowMs) : '-',
    rest.connections === 'unlimited' ? 'any' : String(rest.connections),
    rest.ended === undefined ? stateOf(rest) : `${rest.state} ${span(nowMs - Date.parse(rest.ended))} ago`,
  ]);
  return table(GRANT_COLUMNS, rows);
}

/** The state of a gateway, a subject a line. */
export function statusLines(status: Status, nowMs = Date.now()): readonly string[] {
  const { version, pid, since, uptime_seconds: up, packets, errors } = status;
  const lines = [
    ...wrap(`portknockd ${version}, pid ${pid}, up ${span(up * 1000)} (since ${since})`),
    ...field('config', status.config),
    ...field('listens', status.source),
    ...field('firewall', status.driver),
    ...field('services', status.services.join(', ')),
    ...field('clients', String(status.clients)),
    ...field('replay', status.replay_durable ? 'durable' : 'in memory only: a restart forgets it'),
    ...field('metrics', status.metrics ?? 'off'),
    ...field('grants', `${status.grants_open} open, ${status.grants} in all${listed(status.closes, ': ')}`),
    ...field('knocks', `${status.knocks_accepted} accepted, ${status.knocks_refused} refused`),
    ...field('packets', `${listed(packets) || 'none'}; ${status.packets_dropped} lost`),
    ...field('errors', listed(errors) || 'none'),
  ];
  if (status.rejects.length === 0) return lines;
  const rows = status.rejects
    .toSorted((one, other) => (other.last ?? '').localeCompare(one.last ?? ''))
    .map(({ reason, scheme, count, last, source, client }) => [
      ...[reason, scheme, String(count), last === undefined ? '-' : `${span(nowMs - Date.parse(last))} ago`],
      ...[printable(client ?? '-'), source ?? '-'],
    ]);
  return [...lines, '', 'refused knocks, by reason', ...table(REJECT_COLUMNS, rows)];
}

/** `12s`, `4m30s`, `3h12m`, `2d3h`. */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const [days, hours, minutes] = [86_400, 3600, 60].map((unit) => Math.floor(seconds / unit)) as [
    number,
    number,
    number,
  ];
  if (days > 0) return `${days}d${hours % 24}h`;
  if (hours > 0) return `${hours}h${minutes % 60}m`;
  return minutes > 0 ? `${minutes}m${seconds % 60}s` : `${seconds}s`;
}

/** A grant for one connection is unused as long as it is open; of others the kernel does not tell how many are left. */
function stateOf({ connections }: Pick<GrantRow, 'connections'>): string {
  return connections === 1 ? 'unused' : 'open';
}

/** Eight characters of each id, or as many more as tell them apart. */
function idWidthOf(grants: readonly Pick<GrantRow, 'id'>[]): number {
  const longest = Math.max(...grants.map(({ id }) => id.length));
  for (let width = SHORT_ID; width < longest; width += 1) {
    if (new Set(grants.map(({ id }) => id.slice(0, width))).size === grants.length) return width;
  }
  return longest;
}

function field(name: string, text: string): readonly string[] {
  const [first = '', ...rest] = wrap(printable(text, 1000), LABEL_WIDTH);
  return [`${name.padEnd(LABEL_WIDTH)}${first.trimStart()}`, ...rest];
}

function listed(counts: Readonly<Record<string, number>>, before = ''): string {
  const some = Object.entries(counts).filter(([, count]) => count > 0);
  return some.length === 0 ? '' : before + some.map(([name, count]) => `${count} ${name}`).join(', ');
}
