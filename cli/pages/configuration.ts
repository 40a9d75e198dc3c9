// The configuration's keys as portknockd.yaml(5), and as docs/configuration.md.

import {
  CONFIGURATION,
  CONFIGURATION_ABOUT,
  CONFIGURATION_EXAMPLE,
  type Key,
} from '../manual/configuration.ts';
import { CONFIG } from '../manual/shared.ts';
import { entry, pageHead, pageOf, paragraphs, seeAlso, type Edition } from './man.ts';
import { bold, italic, prose, roff, verbatim } from './roff.ts';

const VALUES: ReadonlySet<string> = new Set(['TIME']);

/** The man page. */
export function configurationMan(edition: Edition): string {
  return pageOf([
    ...pageHead('portknockd.yaml', 'what portknockd hides, and who may knock', edition),
    ...['.SH SYNOPSIS', italic(CONFIG.default)],
    ...['.SH DESCRIPTION', ...paragraphs(CONFIGURATION_ABOUT, VALUES)],
    '.SH KEYS',
    ...CONFIGURATION.flatMap(({ title, about, keys }) => [
      `.SS ${roff(title)}`,
      ...paragraphs(about, VALUES),
      ...Object.entries(keys).flatMap(([name, key]) =>
        entry(`${bold(`${name}:`)} ${valueOf(key)}`, prose(saysOf(key), VALUES)),
      ),
    ]),
    ...['.SH EXAMPLE', ...verbatim(CONFIGURATION_EXAMPLE.map((line) => `  ${line}`).join('\n'))],
    ...['.SH SEE ALSO', seeAlso(edition.see)],
  ]);
}

/** The page for whoever reads in a browser. */
export function configurationMarkdown(): string {
  const parts = [
    '# portknockd.yaml',
    ...CONFIGURATION_ABOUT,
    `\`\`\`yaml\n${CONFIGURATION_EXAMPLE.join('\n')}\n\`\`\``,
    ...CONFIGURATION.flatMap(({ title, about, keys }) => [
      `## ${title}`,
      ...about,
      Object.entries(keys)
        .map(([name, key]) => `- \`${name}: ${key.value}\`: ${saysOf(key)}`)
        .join('\n'),
    ]),
  ];
  return `${parts.join('\n\n')}\n`;
}

function saysOf({ says, usual }: Key): string {
  return usual === undefined ? says : `${says} (default: ${usual})`;
}

/** A name stands for something, a word for itself. */
function valueOf({ value }: Key): string {
  return /^[A-Z]/u.test(value) ? italic(value) : roff(value);
}
