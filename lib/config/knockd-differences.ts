// What of a door that was carried over is not as it was with knockd: the list that an administrator reads before the
// change, so each line says what is different and what could be done about it.

import { printable } from '../errors.ts';
import type { PlanNote } from './import-yaml.ts';
import type { Effect } from './knockd-effects.ts';
import type { KnockdDoor } from './knockd-file.ts';

export interface CarriedOver {
  /** The client's name. */
  readonly name: string;
  readonly main: Effect;
  readonly family: 4 | 6 | null;
}

export const MOST_SEQUENCE_SECONDS = 300;
export const MOST_OPEN_SECONDS = 86_399;
/** Flags that no packet has that we count as a TCP knock. */
const NEVER_SET = ['ack', 'rst', 'fin'];

/** The notes of a door. */
export function differencesOf(door: KnockdDoor, { name, main, family }: CarriedOver): readonly PlanNote[] {
  const notes: PlanNote[] = [];
  const note = (line: number | undefined, kind: PlanNote['kind'], message: string): void => {
    notes.push({ line: line ?? door.line, kind, message: `door ${printable(door.name, 60)}: ${message}` });
  };
  if (name !== door.name) note(door.line, 'lost', `is called ${name} here`);
  if (main.kind === 'grant') {
    for (const remark of main.remarks) note(door.start?.line, 'stricter', remark);
    note(door.start?.line, 'stricter', openingOf(main));
  } else if (main.kind === 'programs') {
    note(
      door.start?.line,
      'lost',
      `runs ${shown(main.open)}: nothing counts connections, or ends what it opens but its own commands`,
    );
  }
  if (family !== null) {
    const isSilent = (family === 4 ? door.start6?.value : (door.start?.value ?? '')) === '';
    const other = family === 4 ? 6 : 4;
    if (!isSilent)
      note(
        (door.start6 ?? door.start)?.line,
        'lost',
        `its command cannot open for IPv${other}: take family out to do so`,
      );
  }
  if (door.target !== null) {
    const where = printable(door.target.value, 60);
    note(
      door.target.line,
      'lost',
      `target ${where}: knocks count that come to any address of this host, and to no other host's`,
    );
  }
  flagNote(door, note);
  timeNotes(door, main, note);
  return notes;
}

type Note = (line: number | undefined, kind: PlanNote['kind'], message: string) => void;

function flagNote({ tcpFlags, sequence }: KnockdDoor, note: Note): void {
  const hasTcp = sequence?.value.some(({ protocol }) => protocol === 'tcp') ?? true;
  if (!hasTcp) return;
  if (tcpFlags === null) {
    note(
      sequence?.line,
      'stricter',
      'without tcpflags any TCP packet is a knock: here a SYN is (as with tcpflags = syn)',
    );
    return;
  }
  const { set, clear } = tcpFlags.value;
  const isSyn =
    set.includes('syn') &&
    set.every((flag) => flag === 'syn') &&
    clear.every((flag) => NEVER_SET.includes(flag));
  if (isSyn) return;
  const flags = [...set, ...clear.map((flag) => `!${flag}`)].join(',');
  note(tcpFlags.line, 'lost', `tcpflags ${flags}: here TCP knocks are SYNs, as the knock client sends them`);
}

function timeNotes({ seqTimeout, cmdTimeout, stop, stop6 }: KnockdDoor, main: Effect, note: Note): void {
  if (seqTimeout !== null && seqTimeout.value > MOST_SEQUENCE_SECONDS) {
    note(
      seqTimeout.line,
      'stricter',
      `seq_timeout ${seqTimeout.value} is more than ${MOST_SEQUENCE_SECONDS} s, which it is here`,
    );
  }
  if (cmdTimeout === null) return;
  if (stop === null && stop6 === null)
    note(cmdTimeout.line, 'lost', 'cmd_timeout means nothing without stop_command');
  else if (cmdTimeout.value > MOST_OPEN_SECONDS)
    note(cmdTimeout.line, 'stricter', 'cmd_timeout is a day at the most');
  else if (cmdTimeout.value === 0 && main.kind === 'grant')
    note(cmdTimeout.line, 'lost', 'cmd_timeout 0 is 1 s here');
}

function openingOf({ ports, ends }: Effect & { kind: 'grant' }): string {
  const list = ports.map(({ port, protocol }) => `${port}/${protocol}`).join(', ');
  const time = ends
    ? 'cmd_timeout'
    : 'open_for (30s), where the rule of knockd stays until something removes it';
  return `opens ${list} for one connection (connections: N or unlimited) within ${time}`;
}

function shown(argv: readonly string[]): string {
  return printable(argv.join(' '), 100);
}
