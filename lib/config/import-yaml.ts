// The text of our configuration for a file of another program: one service and one client a line, and on top what is not as
// it was. Which line came from which is kept, so that problems can be told in the lines that the administrator knows.

import { Document } from 'yaml';
import { printable } from '../errors.ts';
import type { ConfigProblem } from './problems.ts';

const USUAL_STATE = '/var/lib/portknock';

/** Something that is not as it was. */
export interface PlanNote {
  readonly line: number;
  /** `refused`: it is not there; `lost`: something of it is not; `stricter`: it admits less; `warning`: read with a guess. */
  readonly kind: 'refused' | 'lost' | 'stricter' | 'warning';
  readonly message: string;
}

/** A line of a file that is not carried over as it stands. */
export interface ImportNote extends ConfigProblem, PlanNote {}

/** What a file of another program becomes. */
export interface Imported {
  /** Our configuration. */
  readonly text: string;
  /** In the order of the lines. */
  readonly notes: readonly ImportNote[];
}

/** A text, and for its lines (from 1) the line that each came from. */
export interface OriginText {
  readonly text: string;
  readonly origins: ReadonlyMap<number, number>;
}

/** Keys and values of ours, and the line that they are from. */
export interface PlanEntry {
  readonly line: number;
  readonly values: Readonly<Record<string, unknown>>;
}

/** What is to be written. */
export interface ImportPlan {
  /** Whose file it was. */
  readonly program: 'knockd' | 'fwknopd';
  /** The file, for the comment. */
  readonly file: string;
  readonly notes: readonly PlanNote[];
  /** Where knocks arrive: `interface`, `socket`, `knock_port`. */
  readonly place: PlanEntry;
  /** The usual one unless said. */
  readonly stateDir?: string | undefined;
  readonly services: ReadonlyMap<string, PlanEntry>;
  readonly clients: ReadonlyMap<string, PlanEntry>;
}

/** Writes the configuration of a plan. */
export function importYaml({ program, file, notes, place, ...plan }: ImportPlan): OriginText {
  const lines: (readonly [text: string, origin?: number])[] = [
    [
      `# portknock gateway, made from ${printable(file, 1000)}. Check it with: portknockd --check --config THIS_FILE`,
    ],
    ...(notes.length === 0
      ? []
      : ([['#'], [`# Not as it was with ${program}, by the lines of that file:`]] as const)),
    ...notes.map(({ line, kind, message }) => [`#   ${line}: ${kind}: ${message}`] as const),
    [''],
    ['# Where knocks arrive (any: all interfaces).'],
    ...Object.entries(place.values).map(([name, value]) => [entry(name, value), place.line] as const),
    ['# Which knocks were used, and what is open.'],
    [entry('state_dir', plan.stateDir ?? USUAL_STATE)],
    ['# Or nftables.'],
    ['firewall: iptables'],
    [
      `# ${program} closes nothing: your own rules close the ports. With true portknockd does, like the host's other closed ports.`,
    ],
    ['protect: false'],
    [''],
    ...listed('services', plan.services),
    [''],
    ...listed('clients', plan.clients),
  ];
  const origins = lines.flatMap(([, origin], index) =>
    origin === undefined ? [] : [[index + 1, origin] as const],
  );
  return { text: `${lines.map(([text]) => text).join('\n')}\n`, origins: new Map(origins) };
}

function listed(
  name: string,
  entries: ReadonlyMap<string, PlanEntry>,
): readonly (readonly [text: string, origin?: number])[] {
  if (entries.size === 0) return [[`${name}: {}`]];
  return [
    [`${name}:`],
    ...[...entries].map(([key, { values, line }]) => [`  ${entry(key, values)}`, line] as const),
  ];
}

/** `name: value` on one line, quoted where it must be. */
function entry(name: string, value: unknown): string {
  const document = new Document({ [name]: value }, { flow: true } as const);
  const text = document.toString({ lineWidth: 0, flowCollectionPadding: false }).trim();
  return text.slice(1, -1).trim();
}
