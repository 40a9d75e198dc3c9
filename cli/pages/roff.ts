// Text as roff: everything that roff would take for itself is escaped, and what is typed, or stands for something that
// is, is told by its form and set in bold or italics.

/** A text that roff shows as it is, also at the beginning of a line. */
export function roff(text: string): string {
  const safe = text.replaceAll(/[\\\-'"`^~\u00a0]/gu, (each) => ESCAPES[each] ?? each);
  return safe.startsWith('.') ? `\\&${safe}` : safe;
}

const ESCAPES: Readonly<Record<string, string>> = {
  '\\': '\\(rs',
  '-': '\\-',
  "'": '\\(aq',
  '"': '\\(dq',
  '`': '\\(ga',
  '^': '\\(ha',
  '~': '\\(ti',
  '\u00a0': '\\~',
};

export function bold(text: string): string {
  return `\\fB${roff(text)}\\fR`;
}

export function italic(text: string): string {
  return `\\fI${roff(text)}\\fR`;
}

// Words of a command line: in backquotes; options; our programs; variables of the environment. Then names of values.
const TYPED =
  /`([^`]+)`|(?<![\w/.-])(--?[a-zA-Z0-9][\w-]*)|(?<![\w/.])(portknockd?)(?![\w./-])|\b([A-Z]+(?:_[A-Z]+)+)\b/u;

/** A paragraph, or what is said of an option, in which these words stand for values. */
export function prose(text: string, values: ReadonlySet<string>): string {
  const name = values.size === 0 ? '' : `|(?<![\\w.])(${[...values].join('|')})(?![\\w])`;
  let end = 0;
  let out = '';
  for (const found of text.matchAll(new RegExp(TYPED.source + name, 'gu'))) {
    const [whole, quoted, option, program, variable, value] = found;
    out += between(text.slice(end, found.index), end === 0);
    out += value === undefined ? bold(quoted ?? option ?? program ?? variable ?? whole) : italic(value);
    end = found.index + whole.length;
  }
  return out + between(text.slice(end), end === 0);
}

// Only at the beginning of the line is a full stop more than a full stop.
function between(text: string, begins: boolean): string {
  return begins ? roff(text) : roff(text).replace(/^\\&/u, '');
}

/** Lines as they are, indented. */
export function verbatim(text: string): readonly string[] {
  const lines = text.split('\n').map((line) => roff(line.slice(2)));
  return ['.PP', '.RS 2', '.nf', ...lines, '.fi', '.RE'];
}
