// The lines of a file as knockd sees them (protocols/knockd.md, section 1.2): bytes, of which it takes so many at a time, up
// to a NUL, without C's blanks around them.

/** A value and the line that it stands in, counted from 1. */
export interface Placed<T> {
  readonly line: number;
  readonly value: T;
}

/** What it takes of a line at a time. */
const MOST_BYTES = 4095;

/** The lines of a text; one that is too long is several, with the same number. */
export function knockdLines(text: string): readonly Placed<string>[] {
  const bytes = Buffer.from(text).toString('latin1');
  return bytes.split('\n').flatMap((whole, index) =>
    partsOf(whole).map((part) => ({
      line: index + 1,
      value: Buffer.from(trimmed(part), 'latin1').toString('utf8'),
    })),
  );
}

/** Without C's blanks at the ends: others may be part of a name. */
export function trimmed(text: string): string {
  return text.replace(/^[ \t\n\v\f\r]+|[ \t\n\v\f\r]+$/gu, '');
}

function partsOf(line: string): readonly string[] {
  const parts: string[] = [];
  for (let at = 0; at < line.length; at += MOST_BYTES) {
    parts.push(line.slice(at, at + MOST_BYTES).split('\0')[0] ?? '');
  }
  return parts;
}
