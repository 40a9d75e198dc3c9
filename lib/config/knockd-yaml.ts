// The text of our configuration for the doors of a knockd.conf: one service and one client a line, and on top what is not as
// it was. Which line came from which is kept, so that problems can be told in the lines that the administrator knows.

import { Document } from 'yaml';
import { printable } from '../errors.ts';
import type { KnockdPlan, PlannedClient, PlannedService } from './knockd-doors.ts';

/** A text, and for its lines (from 1) the line that each came from. */
export interface OriginText {
  readonly text: string;
  readonly origins: ReadonlyMap<number, number>;
}

export interface KnockdYamlOptions {
  /** The file that the plan is of, for the comment. */
  readonly file: string;
  readonly interface: { readonly line: number; readonly value: string };
  readonly stateDir: string;
}

/** Writes the configuration of a plan. */
export function knockdYaml(plan: KnockdPlan, options: KnockdYamlOptions): OriginText {
  const { file, interface: device, stateDir } = options;
  const lines: (readonly [text: string, origin?: number])[] = [
    [
      `# portknock gateway, made from ${printable(file, 1000)}. Check it with: portknockd --check --config THIS_FILE`,
    ],
    ...(plan.notes.length === 0
      ? []
      : ([['#'], ['# Not as it was with knockd, by the lines of that file:']] as const)),
    ...plan.notes.map(({ line, kind, message }) => [`#   ${line}: ${kind}: ${message}`] as const),
    [''],
    ['# Where knocks arrive (any: all interfaces).'],
    [entry('interface', device.value), device.line],
    ['# Which sequences were used, and what is open.'],
    [entry('state_dir', stateDir)],
    ['# Or nftables.'],
    ['firewall: iptables'],
    [
      "# knockd closes nothing: your own rules close the ports. With true portknockd does, like the host's other closed ports.",
    ],
    ['protect: false'],
    [''],
    [plan.services.size === 0 ? 'services: {}' : 'services:'],
    ...[...plan.services].map(
      ([name, service]) => [`  ${entry(name, serviceOf(service))}`, service.line] as const,
    ),
    [''],
    [plan.clients.size === 0 ? 'clients: {}' : 'clients:'],
    ...[...plan.clients].map(
      ([name, client]) => [`  ${entry(name, clientOf(client))}`, client.line] as const,
    ),
  ];
  const origins = lines.flatMap(([, origin], index) =>
    origin === undefined ? [] : [[index + 1, origin] as const],
  );
  return { text: `${lines.map(([text]) => text).join('\n')}\n`, origins: new Map(origins) };
}

function serviceOf({ port, protocol, openForSeconds, programs }: PlannedService): Record<string, unknown> {
  const openFor = { open_for: `${openForSeconds}s` };
  if (programs === null) return { port, ...(protocol === 'tcp' ? {} : { protocol }), ...openFor };
  const given = Object.entries(programs).filter(([, argv]) => argv !== null);
  return { ...Object.fromEntries(given), ...openFor, connections: 'unlimited', timeout: '60s' };
}

function clientOf({ knocks, timeoutSeconds, family, services }: PlannedClient): Record<string, unknown> {
  return {
    ...(typeof knocks === 'string'
      ? { scheme: 'sequence-list', sequences_file: knocks }
      : { scheme: 'sequence', sequence: knocks.map(({ port, protocol }) => `${port}/${protocol}`) }),
    sequence_timeout: `${timeoutSeconds}s`,
    ...(family === null ? {} : { family }),
    services,
  };
}

/** `name: value` on one line, quoted where it must be. */
function entry(name: string, value: unknown): string {
  const document = new Document({ [name]: value }, { flow: true } as const);
  const text = document.toString({ lineWidth: 0, flowCollectionPadding: false }).trim();
  return text.slice(1, -1).trim();
}
