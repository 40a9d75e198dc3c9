// Text for people within the width of a terminal: broken at spaces, and within a word that is longer than a line.

const COLUMNS = 80;

/** Lines of at most 80 columns, each indented by so many. */
export function wrap(text: string, indent = 0): readonly string[] {
  const room = COLUMNS - indent;
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ').flatMap((each) => pieces(each, room))) {
    const longer = line === '' ? word : `${line} ${word}`;
    if (longer.length <= room) {
      line = longer;
      continue;
    }
    lines.push(line);
    line = word;
  }
  return [...lines, line].map((each) => `${' '.repeat(indent)}${each}`);
}

function pieces(word: string, room: number): readonly string[] {
  return word.match(new RegExp(`.{1,${room}}`, 'gsu')) ?? [''];
}
