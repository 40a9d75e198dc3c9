// The section "Beside knockd and fwknopd" of docs/benchmarks.md: one small table per part, drawn from a run's rows. Where
// a peer is better the page says so; that is found by comparing rows, not written by hand.

import { formatMachine } from '../machine.ts';
import { PARTS, type Part, type Result, type Row } from './result.ts';
import { rivalsOf } from './rivals.ts';

/** How a part's rows become a table: who stands in a line, and what in a column. */
interface Layout {
  readonly title: string;
  readonly about: string;
  readonly line: (row: Row) => string;
  readonly column: (row: Row) => string;
}

export const BEGIN = '<!-- made by benchmarks/peers/docs.ts: begin -->';
export const END = '<!-- made by benchmarks/peers/docs.ts: end -->';
const OURS = 'portknock';

const LAYOUTS: Readonly<Record<Part, Layout>> = {
  open: {
    title: 'Knock to open port',
    about:
      'From the last packet of a knock to the first SYN that is accepted; who sends both is written in C, and knows nothing of the firewall. In a turn one daemon runs and the others are stopped; it is knocked at five times. The table has the last four of these, the notes the first, after seconds of quiet, when caches are cold. While it is measured /dev/cpu_dma_latency keeps the processors from deep sleep.',
    line: whole,
    column: ({ unit }) => unit,
  },
  cpu: {
    title: 'Processor per million junk packets',
    about:
      'Each round a burst of 33,400 packets at 100,000/s, all processes of the daemon; of unrelated traffic what it adds to idling, of the rest all that is spent while it comes and on what is left of it then. The share of what passed the filter and was lost stands beside: a daemon that does not look is cheap, and in a flood that lasts the share is higher. "A client without a clock" turns the hint off. A peer that lost more than one in a hundred is not called better.',
    line: whole,
    column: ({ unit }) => unit,
  },
  flood: {
    title: 'True knocks in a flood',
    about:
      'Share of knocks, each sent once, that open the port while junk comes at a rate that the filter lets through.',
    line: (row) => named(row, before(row.variant)),
    column: ({ variant }) => last(variant),
  },
  savefile: {
    title: 'Packets per second from a savefile',
    about:
      'From the file through the whole pipeline, packets per second; the floor is a loop of libpcap in C that counts. knockd reads no savefiles. With a sniffed hint our pipeline computes a MAC for each packet; fwknopd looks longest at base64.',
    line: (row) => named(row, before(row.variant)),
    column: ({ variant }) => last(variant),
  },
  idle: {
    title: 'An idle hour',
    about:
      'A minute in which nothing comes, a minute after the start, times sixty; all processes of the daemon, and the threads and processes that it starts.',
    line: whole,
    column: ({ unit }) => unit,
  },
  memory: {
    title: 'Resident memory',
    about:
      'MiB (PSS) of all processes, idle and then after a million packets from a million sources of each kind.',
    line: (row) => named(row, before(row.variant)),
    column: ({ variant }) => last(variant),
  },
  grants: {
    title: 'Grants',
    about: 'How many are opened per second, and what a knock takes when many are open already.',
    line: whole,
    column: ({ unit }) => unit,
  },
};

/** The section, markers included. */
export function tableOf(result: Result): string {
  const { machine, versions, commands, rounds, date, parts } = result;
  const software = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  const lines = [
    BEGIN,
    '',
    '## Beside knockd and fwknopd',
    '',
    `${date.slice(0, 10)}. ${formatMachine(machine).replace('\n', '; ')}. Compared: ${software.join(', ')}. Real daemons, each with a gateway and a client in namespaces of their own, ${rounds} rounds in turns. fwknopd is Debian's, with its own settings (default) and with its fastest documented ones (tuned). Compare within a part: on a shared machine the same loop in C is a third faster or slower an hour later. Typed:`,
    '',
    '```sh',
    ...commands,
    '```',
    '',
    '![Knock to open port and processor per million junk packets, portknock beside knockd and fwknopd](benchmarks-peers.svg)',
    ...PARTS.flatMap((part) => sectionOf(part, parts[part] ?? [])),
    '',
    END,
  ];
  return lines.join('\n');
}

function sectionOf(part: Part, rows: readonly Row[]): string[] {
  if (rows.length === 0) return [];
  const { title, about } = LAYOUTS[part];
  const notes = [
    ...new Set(rows.flatMap(({ note, ...row }) => (note === undefined ? [] : [`${whole(row)}: ${note}`]))),
  ];
  const rivals = rivalsOf(part, rows);
  return [
    ...['', `### ${title}`, '', about, ''],
    ...tabled(LAYOUTS[part], rows),
    ...(rivals.length === 0
      ? ['', 'No peer is better here.']
      : ['', '**Here a peer is better:**', '', ...rivals.map((line) => `- ${line}`)]),
    // A flood's notes are what came of it, one per cell.
    ...(notes.length === 0 || part === 'flood'
      ? []
      : ['', 'Notes:', '', ...notes.map((line) => `- ${line}`)]),
  ];
}

function tabled({ line, column }: Layout, rows: readonly Row[]): string[] {
  const cells = new Map<string, Map<string, string>>();
  const columns = new Set<string>();
  const put = (row: Row, name: string, text: string): void => {
    columns.add(name);
    const who = line(row);
    const found = cells.get(who) ?? new Map<string, string>();
    cells.set(who, found.set(name, text));
  };
  for (const row of rows) {
    const { median, p95, value } = row;
    put(row, column(row), formatFigure(row, value ?? median));
    if (p95 !== undefined) put(row, `${column(row)}, p95`, formatFigure(row, p95));
  }
  const names = [...columns];
  return [
    `| who | ${names.join(' | ')} |`,
    `| --- | ${names.map(() => '---:').join(' | ')} |`,
    ...[...cells].map(
      ([who, found]) => `| ${who} | ${names.map((name) => found.get(name) ?? '').join(' | ')} |`,
    ),
  ];
}

function whole(row: Row): string {
  return named(row, row.variant);
}

function named({ subject, scheme, driver }: Row, variant: string | undefined): string {
  return [subject === OURS ? `**${OURS}**` : subject, scheme, driver, variant]
    .filter((word) => word !== undefined && word !== '')
    .join(', ');
}

/** A variant ends with what is done to the daemon, be it a rate, a file or a kind of junk. */
function last(variant = ''): string {
  return variant.slice(cut(variant)).replace(/^, /u, '');
}

function before(variant = ''): string {
  return variant.slice(0, cut(variant));
}

function cut(variant: string): number {
  return Math.max(0, variant.lastIndexOf(', '));
}

function formatFigure({ unit }: Row, value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return '-';
  if (unit === 'packets/s') {
    return value >= 1e6
      ? `${Number((value / 1e6).toPrecision(3))} M`
      : `${Number((value / 1e3).toPrecision(3))} k`;
  }
  if (unit.startsWith('%')) return `${Number(value.toFixed(1))} %`;
  if (value >= 100) return Math.round(value).toLocaleString('en');
  return String(Number(value.toPrecision(value < 1 ? 2 : 3)));
}
