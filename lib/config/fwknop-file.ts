// The grammar of fwknopd's two files (protocols/fwknop.md 2.1 and 2.2): a variable and its value a line, and in access.conf
// a stanza from each SOURCE on. What the stanzas mean for us is decided in fwknop-plan.ts.

import { printable } from '../errors.ts';
import type { PlanNote } from './import-yaml.ts';
import type { Placed } from './knockd-lines.ts';

/** The variables of a file or a stanza, by name; the last one counts. */
export type FwknopValues = ReadonlyMap<string, Placed<string>>;

/** A stanza of access.conf. */
export interface FwknopStanza {
  readonly line: number;
  readonly values: FwknopValues;
}

/** A whole access.conf. */
export interface FwknopAccess {
  readonly stanzas: readonly FwknopStanza[];
  readonly notes: readonly PlanNote[];
}

interface Variable extends Placed<string> {
  readonly name: string;
}

const FIRST = 'SOURCE';
/** A name, perhaps with a colon after it, and what stands up to a semicolon. */
const LINE = /^\s*([^\s:;]+):?(?:\s+([^;]*))?/u;

/** Reads an access.conf: no text is refused, what cannot be used is noted. */
export function parseAccess(text: string): FwknopAccess {
  const stanzas: { readonly line: number; readonly values: Map<string, Placed<string>> }[] = [];
  const notes: PlanNote[] = [];
  for (const { name, line, value } of variablesOf(text)) {
    if (name.startsWith('%')) {
      const message = `${printable(name, 60)} is not followed (import that file by itself)`;
      notes.push({ line, kind: 'refused', message });
      continue;
    }
    if (name === FIRST) stanzas.push({ line, values: new Map() });
    const stanza = stanzas.at(-1);
    if (stanza !== undefined) stanza.values.set(name, { line, value });
    else {
      const message = `${printable(name, 60)} belongs to no stanza (begin one with SOURCE)`;
      notes.push({ line, kind: 'refused', message });
    }
  }
  return { stanzas, notes };
}

/** Reads a fwknopd.conf. */
export function parseDaemon(text: string): FwknopValues {
  return new Map(variablesOf(text).map(({ name, line, value }) => [name, { line, value }] as const));
}

function variablesOf(text: string): readonly Variable[] {
  return text.split('\n').flatMap((whole, index) => {
    const [, name = '', value = ''] = /^\s*#/u.test(whole) ? [] : (LINE.exec(whole) ?? []);
    return name === '' ? [] : [{ name, line: index + 1, value: value.trim() }];
  });
}
