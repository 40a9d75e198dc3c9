// Tables for people within the width of their terminal. Names that are too long lose their middle; where that is not enough,
// the column that has no bound worth speaking of (an address) gets a line of its own below each row.

export interface Column {
  readonly title: string;
  readonly right?: true;
  /** May be shortened to so many characters. */
  readonly least?: number;
  /** May go onto a line of its own, with this in front. */
  readonly below?: string;
}

const GAP = '  ';
const NARROW = 80;

/** How many columns a terminal has, and what nobody looks at on one gets. */
export function terminalWidth(): number {
  const columns = process.stdout.isTTY ? process.stdout.columns : NARROW;
  return Math.max(NARROW, columns);
}

/** Lines, the titles first. Cells must be printable ASCII. */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width = terminalWidth(),
): readonly string[] {
  const natural = widthsOf(columns, rows);
  if (lineWidth(natural) <= width) return layOut(columns, rows, natural);
  const below = columns.findIndex((column) => column.below !== undefined);
  const inLine = (_: unknown, i: number): boolean => i !== below;
  const kept = columns.filter(inLine);
  const widths = shrunk(kept, natural.filter(inLine), width);
  const [titles = '', ...lines] = layOut(
    kept,
    rows.map((row) => row.filter(inLine)),
    widths,
  );
  if (below < 0) return [titles, ...lines];
  const prefix = columns[below]?.below ?? '';
  return [titles, ...lines.flatMap((line, i) => [line, `${GAP}${prefix}${rows[i]?.[below] ?? ''}`])];
}

/** At most `most` characters, the middle left out: names often differ at their end. */
export function shorten(text: string, most: number): string {
  if (text.length <= most) return text;
  const kept = Math.max(0, most - 3);
  const tail = Math.floor(kept / 2);
  return `${text.slice(0, kept - tail)}...${text.slice(text.length - tail)}`.slice(0, most);
}

function widthsOf(columns: readonly Column[], rows: readonly (readonly string[])[]): readonly number[] {
  return columns.map(({ title }, i) =>
    rows.reduce((most, row) => Math.max(most, row[i]?.length ?? 0), title.length),
  );
}

/** Takes from the widest that may give, one by one. */
function shrunk(columns: readonly Column[], natural: readonly number[], width: number): readonly number[] {
  const widths = [...natural];
  for (let excess = lineWidth(widths) - width; excess > 0; excess -= 1) {
    const spare = (i: number): number => {
      const least = columns[i]?.least;
      const now = widths[i] ?? 0;
      return least === undefined || now <= least ? 0 : now;
    };
    const widest = widths.reduce((best, _, i) => (spare(i) > spare(best) ? i : best), 0);
    if (spare(widest) === 0) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
  }
  return widths;
}

function layOut(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  widths: readonly number[],
): readonly string[] {
  const line = (cells: readonly string[]): string =>
    columns
      .map(({ right }, i) => {
        const most = widths[i] ?? 0;
        const cell = shorten(cells[i] ?? '', most);
        return right === true ? cell.padStart(most) : cell.padEnd(most);
      })
      .join(GAP)
      .trimEnd();
  return [line(columns.map(({ title }) => title)), ...rows.map(line)];
}

function lineWidth(widths: readonly number[]): number {
  return widths.reduce((sum, width) => sum + width, 0) + GAP.length * (widths.length - 1);
}
