// What the doors of a knockd.conf become here: services and clients, and a note, with its line, for everything that is
// not as it was: `refused` (the door is not there), `lost` (something of it is not) or `stricter`.

import { printable } from '../errors.ts';
import { sequenceProblem, sequencesProblem, type KnockPort } from '../scheme/sequence.ts';
import { effectOf, isSameEffect, type Effect } from './knockd-effects.ts';
import type { KnockdDoor, KnockdFile } from './knockd-file.ts';
import { differencesOf, MOST_OPEN_SECONDS, MOST_SEQUENCE_SECONDS } from './knockd-differences.ts';
import { clientName, serviceName } from './import-names.ts';
import type { PlanNote } from './import-yaml.ts';

export interface PlannedService {
  readonly line: number;
  readonly port: number;
  readonly protocol: 'tcp' | 'udp';
  readonly openForSeconds: number;
  readonly programs: Readonly<
    Record<'open' | 'close' | 'open_6' | 'close_6', readonly string[] | null>
  > | null;
}

export interface PlannedClient {
  readonly line: number;
  /** A sequence, or the file that has them. */
  readonly knocks: readonly KnockPort[] | string;
  readonly timeoutSeconds: number;
  readonly family: 4 | 6 | null;
  readonly services: readonly string[];
}

/** All of a file. */
export interface KnockdPlan {
  readonly services: ReadonlyMap<string, PlannedService>;
  readonly clients: ReadonlyMap<string, PlannedClient>;
  readonly notes: readonly PlanNote[];
}

const USUAL = { seqTimeout: 25, cmdTimeout: 10, openFor: 30 } as const;
/** What a program opened that nothing closes is over when it has run. */
const NO_TIME = 1;
/** Nothing to undo. */
const NOTHING = ['true'];

/** Plans what a file without errors becomes. */
export function planKnockd(
  { doors, housekeeping }: KnockdFile,
  { allowShell }: { readonly allowShell: boolean },
): KnockdPlan {
  const planner = new Planner(allowShell);
  for (const { line, value } of housekeeping) {
    const message = `${value.toLowerCase()}: portknockd stays in the foreground and logs to standard output`;
    planner.notes.push({ line, kind: 'lost', message });
  }
  for (const door of doors) planner.take(door);
  const { services, clients, notes } = planner;
  return { services, clients, notes: notes.toSorted((one, other) => one.line - other.line) };
}

class Planner {
  readonly services = new Map<string, PlannedService>();
  readonly clients = new Map<string, PlannedClient>();
  readonly notes: PlanNote[] = [];
  readonly #allowShell: boolean;
  readonly #sequences = new Map<string, readonly KnockPort[]>();

  constructor(allowShell: boolean) {
    this.#allowShell = allowShell;
  }

  take(door: KnockdDoor): void {
    const effects = this.#effectsOf(door);
    const knocks = this.#knocksOf(door);
    if (effects === null || knocks === null) return;
    const name = clientName(door.name, this.clients);
    if (typeof knocks !== 'string' && !this.#isApart(door, name, knocks)) return;
    const { four, six } = effects;
    const family = six.kind === 'nothing' ? 4 : four.kind === 'nothing' ? 6 : null;
    const main = family === 6 ? six : four;
    const services = main.kind === 'grant' ? this.#ports(door, main) : [this.#programs(door, four, six)];
    const timeoutSeconds = Math.min(door.seqTimeout?.value ?? USUAL.seqTimeout, MOST_SEQUENCE_SECONDS);
    this.clients.set(name, { line: door.line, knocks, timeoutSeconds, family, services });
    for (const note of differencesOf(door, { name, main, family })) this.notes.push(note);
  }

  /** What the door does for each family; `null` when that is nothing that it could do here. */
  #effectsOf(door: KnockdDoor): { readonly four: Effect; readonly six: Effect } | null {
    const options = { allowShell: this.#allowShell };
    const four = effectOf(door.start, door.stop, { ...options, family: 4 });
    const six = effectOf(door.start6 ?? door.start, door.stop6 ?? door.stop, { ...options, family: 6 });
    for (const effect of isSameEffect(four, six) ? [four] : [four, six]) {
      if (effect.kind === 'refused')
        this.#note(effect.line, 'refused', `${titleOf(door)}: ${effect.message}`);
    }
    if (four.kind === 'refused' || six.kind === 'refused') return null;
    if (four.kind === 'closing' || six.kind === 'closing') {
      const why = 'only closes a port, which here closes by itself once it was used, or its time is over';
      this.#note(door.line, 'lost', `${titleOf(door)} ${why}`);
      return null;
    }
    if (four.kind === 'nothing' && six.kind === 'nothing') {
      this.#note(door.line, 'lost', `${titleOf(door)} does nothing when it is knocked on`);
      return null;
    }
    if (four.kind === 'nothing' || six.kind === 'nothing' || isSameEffect(four, six)) return { four, six };
    if (four.kind === 'programs' && six.kind === 'programs') return { four, six };
    const line = door.start6?.line ?? door.line;
    this.#note(
      line,
      'lost',
      `${titleOf(door)}: start_command_6 opens something else: only IPv4 is carried over`,
    );
    return { four, six: { kind: 'nothing' } };
  }

  /** The sequence, or the file of them; `null` after noting why it is no use. */
  #knocksOf(door: KnockdDoor): readonly KnockPort[] | string | null {
    const { oneTimeFile, sequence, seqTimeout } = door;
    const line = sequence?.line ?? door.line;
    if (seqTimeout?.value === 0) {
      const why = 'seq_timeout 0 leaves no time for a second knock (write 10)';
      return this.#note(seqTimeout.line, 'refused', `${titleOf(door)}: ${why}`);
    }
    if (oneTimeFile !== null) return oneTimeFile.value;
    const knocks = sequence?.value ?? [];
    if (knocks.some(({ port }) => port === 0)) {
      return this.#note(
        line,
        'refused',
        `${titleOf(door)}: nobody can knock on port 0 (change the sequence)`,
      );
    }
    const problem = sequenceProblem(knocks);
    if (problem?.level !== 'error') return knocks;
    return this.#note(line, 'refused', `${titleOf(door)}: ${problem.message} (mix the ports)`);
  }

  #isApart(door: KnockdDoor, name: string, knocks: readonly KnockPort[]): boolean {
    this.#sequences.set(name, knocks);
    const problem = sequencesProblem(this.#sequences);
    if (problem === null) return true;
    this.#sequences.delete(name);
    const line = door.sequence?.line ?? door.line;
    this.#note(
      line,
      'refused',
      `${titleOf(door)}: sequence: ${problem.message} (change the last knocks, or the first)`,
    );
    return false;
  }

  /** The services of the ports that it opens. */
  #ports(door: KnockdDoor, { ports, ends }: Effect & { kind: 'grant' }): readonly string[] {
    const seconds = ends ? (door.cmdTimeout?.value ?? USUAL.cmdTimeout) : USUAL.openFor;
    const openForSeconds = Math.min(Math.max(seconds, 1), MOST_OPEN_SECONDS);
    return ports.map(({ port, protocol }) => {
      const name = serviceName({ port, protocol });
      const known = this.services.get(name);
      if (known !== undefined && known.openForSeconds !== openForSeconds) {
        const why = `service ${name} is opened for different times: the shortest counts for all`;
        this.#note(door.cmdTimeout?.line ?? door.line, 'stricter', `${titleOf(door)}: ${why}`);
      }
      const shortest = Math.min(openForSeconds, known?.openForSeconds ?? openForSeconds);
      const line = known?.line ?? door.line;
      this.services.set(name, { line, port, protocol, openForSeconds: shortest, programs: null });
      return name;
    });
  }

  /** The service of the programs that it runs. */
  #programs(door: KnockdDoor, four: Effect, six: Effect): string {
    const name = serviceName(door.name, this.services);
    const usual = four.kind === 'programs' ? four : six.kind === 'programs' ? six : null;
    const other = six.kind === 'programs' && six !== usual && !isSameEffect(four, six) ? six : null;
    const seconds = usual?.close === null ? NO_TIME : (door.cmdTimeout?.value ?? USUAL.cmdTimeout);
    const programs = {
      open: usual?.open ?? null,
      close: usual?.close ?? NOTHING,
      open_6: other?.open ?? null,
      close_6: other === null ? null : (other.close ?? NOTHING),
    };
    const openForSeconds = Math.min(Math.max(seconds, 1), MOST_OPEN_SECONDS);
    this.services.set(name, { line: door.line, port: 0, protocol: 'tcp', openForSeconds, programs });
    return name;
  }

  #note(line: number, kind: PlanNote['kind'], message: string): null {
    this.notes.push({ line, kind, message });
    return null;
  }
}

function titleOf({ name }: KnockdDoor): string {
  return `door ${printable(name, 60)}`;
}
