// A map of the configuration's document with the places of its keys and values: what a schema makes of it, and
// where each of its problems stands.

import * as v from 'valibot';
import { isMap, isNode, isScalar, isSeq, type Document, type Pair, type YAMLMap } from 'yaml';
import { printable } from '../errors.ts';
import { didYouMean } from './similar.ts';
import type { Problems } from './problems.ts';

/** One map: the top level, a service, a client. */
export class Section {
  /** Put before each message: `client field: `, or nothing at the top level. */
  readonly subject: string;
  readonly problems: Problems;
  readonly #document: Document;
  readonly #map: YAMLMap;
  readonly #start: number;

  constructor(parts: {
    document: Document;
    map: YAMLMap;
    subject: string;
    start: number;
    problems: Problems;
  }) {
    this.#document = parts.document;
    this.#map = parts.map;
    this.#start = parts.start;
    this.subject = parts.subject;
    this.problems = parts.problems;
  }

  has(key: string): boolean {
    return this.#pair(key) !== undefined;
  }

  /** The value of a key as plain data. */
  value(key: string): unknown {
    const node = this.#pair(key)?.value;
    return isNode(node) ? (node.toJS(this.#document) as unknown) : undefined;
  }

  /** Whether a key is absent, or its value is nothing or an empty map. */
  isEmpty(key: string): boolean {
    const node = this.#pair(key)?.value;
    return (
      !isNode(node) || (isScalar(node) && node.value === null) || (isMap(node) && node.items.length === 0)
    );
  }

  /** The keys of the map at a key, whatever their values; `null` when there is no such map, or nothing in it. */
  names(key: string): readonly string[] | null {
    const node = this.#pair(key)?.value;
    return isMap(node) && node.items.length > 0 ? node.items.map(keyOf) : null;
  }

  /** A problem with a key's value (or its `index`-th entry), or with the key's absence. */
  error(key: string | null, message: string, index?: number): void {
    this.problems.error(this.#at(key, index), this.subject + message);
  }

  warning(key: string | null, message: string): void {
    this.problems.warning(this.#at(key), this.subject + message);
  }

  /** Reports keys that are not known. */
  refuseStrangers(known: readonly string[]): void {
    for (const pair of this.#map.items) {
      const key = keyOf(pair);
      if (known.includes(key)) continue;
      const advice = didYouMean(key, known) ?? `known here: ${known.join(', ')}`;
      this.problems.error(
        startOf(pair.key),
        `${this.subject}key is not known: ${printable(key, 60)} (${advice})`,
      );
    }
  }

  /** What the schema makes of the map; `null` after reporting why it does not. */
  parse<S extends v.GenericSchema>(schema: S): v.InferOutput<S> | null {
    const result = v.safeParse(schema, this.#map.toJS(this.#document));
    if (result.success) return result.output;
    for (const issue of result.issues) {
      const [first, second] = issue.path ?? [];
      const key = typeof first?.key === 'string' ? first.key : null;
      const missing = issue.type === 'object' && key !== null;
      const message = missing ? `${key} is missing (add it)` : issue.message;
      this.error(key, message, typeof second?.key === 'number' ? second.key : undefined);
    }
    return null;
  }

  /** The maps below a key, by name; anything else there is reported. */
  sections(key: string, subject: string): readonly (readonly [name: string, section: Section])[] {
    const node = this.#pair(key)?.value;
    if (this.isEmpty(key)) return [];
    if (!isMap(node)) {
      this.error(key, `${key} must be a map of names (write one name and colon a line, indented)`);
      return [];
    }
    return node.items.flatMap((pair) => {
      const name = keyOf(pair);
      const start = startOf(pair.key);
      const shown = `${subject} ${printable(name, 70)}: `;
      if (isMap(pair.value)) {
        const parts = {
          document: this.#document,
          map: pair.value,
          subject: shown,
          start,
          problems: this.problems,
        };
        return [[name, new Section(parts)] as const];
      }
      this.problems.error(start, `${shown}must be a map of settings (write { } around them)`);
      return [];
    });
  }

  /** The map at a key; `null` when it is none. */
  section(key: string): Section | null {
    const pair = this.#pair(key);
    if (!isMap(pair?.value)) return null;
    const { problems } = this;
    const start = startOf(pair.key);
    return new Section({ document: this.#document, map: pair.value, subject: `${key}: `, start, problems });
  }

  #pair(key: string): Pair | undefined {
    return this.#map.items.find((pair) => keyOf(pair) === key);
  }

  #at(key: string | null, index?: number): number {
    const pair = key === null ? undefined : this.#pair(key);
    if (pair === undefined) return this.#start;
    const { value } = pair;
    if (index !== undefined && isSeq(value)) return startOf(value.items[index]);
    // An empty value has no place of its own worth pointing at.
    return isScalar(value) && value.source === '' ? startOf(pair.key) : startOf(value ?? pair.key);
  }
}

/** Keys are scalars: the parser was told to refuse others. */
function keyOf(pair: Pair): string {
  return isScalar(pair.key) ? String(pair.key.value) : '';
}

function startOf(node: unknown): number {
  return isNode(node) ? (node.range?.[0] ?? 0) : 0;
}
