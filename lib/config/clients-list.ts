// Clients with a file of sequences that are good once each (scheme sequence-list). What is wrong with a line is said with
// its place in that file; lines that knockd passes over are passed over.

import { sequenceBits, sequenceProblem, type KnockPort } from '../scheme/sequence.ts';
import { clientSchemas, limitsOf } from './client-schemas.ts';
import { textOfFile, type FileContext } from './files.ts';
import { parseKnockdSequence } from './knockd-values.ts';
import type { ClientConfig } from './schema.ts';
import type { Section } from './section.ts';

const MOST_FILE_BYTES = 1024 * 1024;
const KEY = 'sequences_file';

/** A line of such a file. */
export interface SequenceLine {
  readonly line: number;
  /** `null`: no sequence that could be knocked. */
  readonly knocks: readonly KnockPort[] | null;
  readonly errors: readonly string[];
  readonly warnings: readonly string[];
}

/** The client of a section of scheme sequence-list; `null` after reporting what is wrong with it. */
export async function sequenceListClient(
  name: string,
  section: Section,
  { files, listed }: { readonly files: FileContext; readonly listed: Map<string, string> },
): Promise<ClientConfig | null> {
  section.refuseStrangers(Object.keys(clientSchemas['sequence-list'].entries));
  const entry = section.parse(clientSchemas['sequence-list']);
  if (entry === null) return null;
  const { sequences_file: named, sequence_timeout: timeoutMs, family, services } = entry;
  const place = { key: KEY, name: named, kind: 'secret', mostBytes: MOST_FILE_BYTES } as const;
  const file = await textOfFile(section, place, files);
  if (file === null) return null;
  const sequences = sequencesIn(section, { ...file, client: name, listed });
  if (sequences.length === 0)
    section.warning(KEY, `${KEY} has no sequence left: nobody can knock (add some)`);
  return {
    name,
    scheme: 'sequence-list',
    file: file.path,
    sequences,
    timeoutMs,
    ...(family === undefined ? {} : { family }),
    services: [...new Set(services)],
    ...limitsOf(entry),
    bits: sequences.length === 0 ? 0 : Math.min(...sequences.map(sequenceBits)),
  };
}

/** The lines of a file of one-time sequences, in knockd's syntax, without those that are empty or marked as used. */
export function sequenceLines(text: string): readonly SequenceLine[] {
  return text.split('\n').flatMap((whole, index) => {
    const body = whole.trim();
    return body === '' || body.startsWith('#') ? [] : [lineOf(body, index + 1)];
  });
}

function lineOf(text: string, line: number): SequenceLine {
  const errors: string[] = [];
  const faults: string[] = [];
  const quirks: string[] = [];
  const knocks = parseKnockdSequence(text, {
    error: (message) => faults.push(message),
    quirk: (message) => quirks.push(message),
  });
  // As knockd does; but it then marks this line in place of the one that was used.
  const warnings = faults.length > 0 ? [`line is passed over: ${faults.join('; ')}`] : quirks;
  const isKnockable = knocks?.every(({ port }) => port > 0) ?? true;
  if (!isKnockable) errors.push('sequence has port 0, which nobody can knock on (change or remove it)');
  const problem = knocks === null || !isKnockable ? null : sequenceProblem(knocks);
  if (problem?.level === 'error') errors.push(`${problem.message} (mix the ports)`);
  return { line, knocks: errors.length > 0 ? null : knocks, errors, warnings };
}

function sequencesIn(
  { problems }: Section,
  list: {
    readonly path: string;
    readonly text: string;
    readonly client: string;
    /** Whose each sequence is, of all lists so far. */
    readonly listed: Map<string, string>;
  },
): readonly (readonly KnockPort[])[] {
  const { path: file, text, client, listed } = list;
  const found: (readonly KnockPort[])[] = [];
  for (const { line, knocks, errors, warnings } of sequenceLines(text)) {
    for (const message of errors) problems.errorElsewhere({ file, line, column: 1, message });
    for (const message of warnings) problems.warningElsewhere({ file, line, column: 1, message });
    if (knocks === null) continue;
    const key = ` ${knocks.map(({ port, protocol }) => `${port}/${protocol}`).join(' ')}`;
    const clash = [...listed.keys()].find((other) => other.endsWith(key) || key.endsWith(other));
    if (clash === key && listed.get(key) === client) {
      const message = 'sequence stands above already: each is good once, and it is passed over here';
      problems.warningElsewhere({ file, line, column: 1, message });
    } else if (clash !== undefined) {
      const message = `sequence and another one (${clash.trim()}) end alike, one whole in the other (change one)`;
      problems.errorElsewhere({ file, line, column: 1, message });
    } else {
      listed.set(key, client);
      found.push(knocks);
    }
  }
  return found;
}
