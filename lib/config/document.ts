// The text of a configuration as YAML with places. Syntax errors are said in our words: the parser's own messages
// may quote the text, and the text may hold a secret.

import { isMap, LineCounter, parseDocument, visit, type Document, type YAMLError } from 'yaml';
import { Problems } from './problems.ts';
import { Section } from './section.ts';

const MOST_CHARACTERS = 1024 * 1024;

const WORDS: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: 'key is given twice (keep one)',
  TAB_AS_INDENT: 'tabs cannot indent (use spaces)',
  MULTIPLE_DOCS: 'only one document is allowed (remove the line ---)',
  NON_STRING_KEY: 'keys must be plain words (write name: value)',
  TAG_RESOLVE_FAILED: 'tags are not supported (remove the word that starts with !)',
  BAD_DQ_ESCAPE: 'escape sequence is not valid (use single quotes)',
};

/** A configuration's text, parsed. */
export interface ConfigDocument {
  readonly document: Document;
  readonly root: Section;
  readonly problems: Problems;
}

/** @throws ConfigError when the text is no map of keys, or its structure is in doubt */
export function parseConfigDocument(text: string, file: string): ConfigDocument {
  const lines = new LineCounter();
  const problems = new Problems(file, lines);
  if (text.length > MOST_CHARACTERS) {
    problems.error(0, 'configuration is larger than 1 MiB (is it the right file?)');
    problems.throwIfAny();
  }
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    stringKeys: true,
    resolveKnownTags: false,
    logLevel: 'error',
  });
  for (const fault of [...document.errors, ...document.warnings])
    problems.error(fault.pos[0], wordsFor(fault));
  let aliases = 0;
  visit(document, {
    // An alias makes a small file large, and two places of one value.
    Alias: (_, { range }) => {
      aliases += 1;
      problems.error(range?.[0] ?? 0, 'aliases are not supported (write the value out)');
    },
  });
  // With a key given twice the rest is still worth reading; with anything else it is guesswork.
  const readable = document.errors.every(({ code }) => code === 'DUPLICATE_KEY') && aliases === 0;
  if (!readable) problems.throwIfAny();
  const map = document.contents;
  if (isMap(map))
    return { document, problems, root: new Section({ document, map, subject: '', start: 0, problems }) };
  problems.error(0, 'configuration must be a map of keys (start with portknock init)');
  problems.throwIfAny();
  throw new Error('unreachable');
}

function wordsFor({ code, message }: YAMLError): string {
  const words = WORDS[code];
  if (words !== undefined) return words;
  const general = message.split(/[:"'`]/u)[0]?.trim() ?? '';
  return `yaml is not valid: ${general.charAt(0).toLowerCase()}${general.slice(1)} (check quotes, brackets and indentation)`;
}
