// The doors of a knockd.conf as entries of our configuration.

import { importYaml, type OriginText, type PlanEntry } from './import-yaml.ts';
import type { KnockdPlan, PlannedClient, PlannedService } from './knockd-doors.ts';

export interface KnockdYamlOptions {
  /** The file that the plan is of, for the comment. */
  readonly file: string;
  readonly interface: { readonly line: number; readonly value: string };
  readonly stateDir: string | undefined;
}

/** Writes the configuration of a plan. */
export function knockdYaml(plan: KnockdPlan, options: KnockdYamlOptions): OriginText {
  const { file, interface: device, stateDir } = options;
  return importYaml({
    ...{ program: 'knockd', file, notes: plan.notes, stateDir },
    place: { line: device.line, values: { interface: device.value } },
    services: entries(plan.services, serviceOf),
    clients: entries(plan.clients, clientOf),
  });
}

function entries<T extends { readonly line: number }>(
  all: ReadonlyMap<string, T>,
  valuesOf: (each: T) => Record<string, unknown>,
): ReadonlyMap<string, PlanEntry> {
  return new Map([...all].map(([name, each]) => [name, { line: each.line, values: valuesOf(each) }]));
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
