// What a soak counts, and what of it is wrong. A count that stayed at zero is wrong as well: then nothing was tried.

/** Knocks, by whether the gateway was there for all of their handling. */
export interface Knocks {
  sent: number;
  admitted: number;
}

/** Things of which none may succeed. */
export interface Forbidden {
  tried: number;
  succeeded: number;
}

export class Ledger {
  /** Sent while the gateway was ready, which stayed so until they were handled: each has to be admitted. */
  readonly ready: Knocks = { sent: 0, admitted: 0 };
  /** Sent while it was down, or went down: each may be admitted. */
  readonly apart: Knocks = { sent: 0, admitted: 0 };
  /** What came after the one connection of a knock. */
  readonly again: Forbidden = { tried: 0, succeeded: 0 };
  /** Knocks that were left unused, and tried after their time. */
  readonly late: Forbidden = { tried: 0, succeeded: 0 };
  readonly replays: Forbidden = { tried: 0, succeeded: 0 };
  readonly strangers: Forbidden = { tried: 0, succeeded: 0 };
  /** Connections that were looked at a while after they were admitted; those that were dead then. */
  readonly sessions: Forbidden = { tried: 0, succeeded: 0 };
  /** Grants that the gateway reported; those for a source that is not their client's. */
  readonly grants: Forbidden = { tried: 0, succeeded: 0 };
  /** Clients with more grants than knocks. */
  readonly excess: string[] = [];
  readonly happened = { stopped: 0, killed: 0, deafened: 0, reloaded: 0, misconfigured: 0 };
  junk = 0;
  /** Resident memory of the gateway that ran longest, bytes: medians of its first and last part. */
  readonly memory = { first: 0, last: 0 };
  /** In words, the first few of what went wrong. */
  readonly notes: string[] = [];

  note(text: string): void {
    if (this.notes.length < 20) this.notes.push(text);
  }
}

/**
 * By how much memory may grow. The collector lets garbage lie until the young generation is full (16 MB a half) and the
 * old one has doubled what it needs; a leak of 100 bytes for each of a soak's packets would be ten times as much.
 */
export const GROWTH_BYTES = 40 * 2 ** 20;

/** Everything that is off, one line each. */
export function faultsOf(ledger: Ledger): readonly string[] {
  const { ready, apart, again, late, replays, strangers, sessions, grants, happened, memory } = ledger;
  const tried = { again, late, replays, strangers, sessions, grants };
  const grown = memory.last - memory.first;
  return [
    ...(ready.admitted === ready.sent ? [] : [`${ready.sent - ready.admitted} true knocks were not let in`]),
    ...(apart.admitted <= apart.sent ? [] : ['more knocks were let in than were sent']),
    ...fault(again, 'connections after the first one of a knock were let in'),
    ...fault(late, 'connections were let in after their time'),
    ...fault(replays, 'replayed knocks opened'),
    ...fault(strangers, 'connections of strangers were let in'),
    ...fault(sessions, 'sessions were cut'),
    ...fault(grants, 'grants were for somebody else'),
    ...ledger.excess.map((client) => `${client} got more grants than it sent knocks`),
    ...(grown <= GROWTH_BYTES ? [] : [`memory grew by ${megabytes(grown)}`]),
    ...(memory.first > 0 && memory.last > 0 ? [] : ['memory was not measured']),
    ...Object.entries({ 'true knocks': ready.sent, junk: ledger.junk, ...happened })
      .filter(([, count]) => count === 0)
      .map(([name]) => `nothing was tried: ${name}`),
    ...Object.entries(tried)
      .filter(([, { tried: count }]) => count === 0)
      .map(([name]) => `nothing was tried: ${name}`),
  ];
}

/** The counts, for people. */
export function tableOf(ledger: Ledger): string {
  const { ready, apart, again, late, replays, strangers, sessions, grants, happened, memory } = ledger;
  const rows: readonly (readonly [string, string | number, string | number])[] = [
    ['', 'tried', 'let in'],
    ['true knocks, gateway ready', ready.sent, ready.admitted],
    ['true knocks, gateway down or going', apart.sent, apart.admitted],
    ['connections after the first', again.tried, again.succeeded],
    ['connections after the time', late.tried, late.succeeded],
    ['replayed knocks', replays.tried, replays.succeeded],
    ['connections of strangers', strangers.tried, strangers.succeeded],
    ['', 'seen', 'wrong'],
    ['sessions looked at again', sessions.tried, sessions.succeeded],
    ['grants reported', grants.tried, grants.succeeded],
    ['', 'first', 'second'],
    ['junk packets', ledger.junk, ''],
    ['gateway stopped / killed', happened.stopped, happened.killed],
    ['capture process killed', happened.deafened, ''],
    ['reloaded / with a bad file', happened.reloaded, happened.misconfigured],
    ['memory, first and last part', megabytes(memory.first), megabytes(memory.last)],
  ];
  return rows
    .map(([name, one, other]) => `${name.padEnd(36)}${String(one).padStart(10)}${String(other).padStart(10)}`)
    .join('\n');
}

function fault({ succeeded }: Forbidden, what: string): string[] {
  return succeeded === 0 ? [] : [`${succeeded} ${what}`];
}

function megabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MB`;
}
