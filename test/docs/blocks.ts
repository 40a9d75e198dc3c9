// The pages that people read, and what is in them that can be wrong: code blocks, links, anchors.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

/** A fenced block. */
export interface Block {
  readonly page: string;
  /** Of its first line of text. */
  readonly line: number;
  /** What stands behind the fence; empty where nothing does. */
  readonly language: string;
  /** Without the indentation of its fence. */
  readonly text: string;
  /** Of the comment `<!-- file: NAME -->` above it. */
  readonly file: string | null;
  /** The last paragraph or list item before it. */
  readonly before: string;
}

/** Every page that is checked. */
export function allPages(): readonly string[] {
  const below = (folder: string, name: RegExp): string[] =>
    readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isFile() && name.test(entry.name))
      .map((entry) => join(folder, entry.name));
  const examples = readdirSync('examples').map((name) => join('examples', name, 'README.md'));
  return [
    ...['README.md', 'SECURITY.md', 'CHANGELOG.md'],
    ...below('docs', /\.md$/u),
    ...examples.filter((path) => existsSync(path)),
  ].sort();
}

export function readPage(page: string): string {
  return readFileSync(page, 'utf8');
}

/** The blocks of a page, in their order. */
export function blocksOf(page: string, text = readPage(page)): readonly Block[] {
  const found: Block[] = [];
  const lines = text.split('\n');
  let before: string[] = [];
  for (let index = 0; index < lines.length; index += 1) {
    const [, indent = '', fence = '', language = ''] = /^( *)(`{3,})(\S*)/u.exec(lines[index] ?? '') ?? [];
    if (fence === '') {
      if (lines[index] !== '')
        before = lines[index - 1] === '' ? [lines[index]!] : [...before, lines[index]!];
      continue;
    }
    const first = index + 1;
    const end = lines.findIndex((line, at) => at >= first && line.trim() === fence);
    if (end < 0) throw new Error(`${page}:${first}: a block without an end`);
    const body = lines.slice(first, end).map((line) => line.slice(indent.length));
    const paragraph = before.join('\n');
    found.push({
      page,
      line: first + 1,
      language,
      text: `${body.join('\n')}\n`,
      file: /<!-- file: (\S+) -->/u.exec(paragraph)?.[1] ?? null,
      before: paragraph.replace(/\s+/gu, ' ').trim(),
    });
    index = end;
  }
  return found;
}

/** The program of a page that its reader puts into a file of this name. @throws when there is none */
export function programOf(page: string, name: string): string {
  const found = blocksOf(page).find(({ file }) => file === name);
  if (found === undefined) throw new Error(`${page} has no ${name}`);
  return found.text;
}

/** Where a block is, for a title or a message. */
export function placeOf({ page, line }: Block): string {
  return `${page}:${line}`;
}

/** Every link of a page that leads nowhere, with the reason. */
export function brokenLinks(page: string, text = readPage(page)): readonly string[] {
  return linksOf(text).flatMap((link) => {
    if (/^[a-z]+:/u.test(link)) return [];
    const [path = '', anchor] = link.split('#');
    const target = path === '' ? page : normalize(join(dirname(page), path));
    if (target.startsWith('..') || !existsSync(target)) return [`${page}: ${link}: there is no such file`];
    if (anchor === undefined) return [];
    const anchors = anchorsOf(target === page ? text : readPage(target));
    return anchors.has(anchor) ? [] : [`${page}: ${link}: there is no such heading`];
  });
}

/** The targets of links and images, those of HTML included; what stands in code is none. */
export function linksOf(text: string): readonly string[] {
  const prose = withoutCode(text).replace(/`[^`]*`/gu, '');
  return [
    ...[...prose.matchAll(/\]\(\s*<?([^\s)>]+)>?[^)]*\)/gu)],
    ...[...prose.matchAll(/^\[[^\]]+\]:\s*(\S+)/gmu)],
    ...[...prose.matchAll(/\b(?:href|src)="([^"]+)"/gu)],
  ].map(([, target]) => target ?? '');
}

/** What GitHub makes of headings. */
function anchorsOf(text: string): ReadonlySet<string> {
  const found = new Set<string>();
  for (const [, title = ''] of withoutCode(text).matchAll(/^#{1,6} +(.+?) *$/gmu)) {
    const plain = title.replace(/\[([^\]]*)\]\([^)]*\)/gu, '$1').toLowerCase();
    const slug = plain.replace(/[^\p{L}\p{N}\s_-]/gu, '').replaceAll(' ', '-');
    let name = slug;
    for (let again = 1; found.has(name); again += 1) name = `${slug}-${again}`;
    found.add(name);
  }
  return found;
}

function withoutCode(text: string): string {
  return text.replace(/^( *)(`{3,})[^]*?^ *\2 *$/gmu, '');
}
