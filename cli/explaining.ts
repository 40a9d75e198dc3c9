// What `portknock explain` prints: for people two or more lines a packet within 80 columns, for programs an object a line.

import type { ExplainedPacket, ExplainedSource, Explanation, Unfinished } from '../lib/index.ts';
import type { Progress } from './progress.ts';
import { asciiJson, print, tell } from './report.ts';
import { wrap } from './wrap.ts';

/** Where the parts of an explanation go. */
export interface ExplanationReport {
  readonly packet: (packet: ExplainedPacket) => void;
  readonly warning: (message: string) => void;
  readonly summary: (explanation: Explanation) => void;
}

/** On stdout; the progress bar makes room. */
export function explanationReport(
  format: 'text' | 'json',
  progress: Pick<Progress, 'clear'>,
): ExplanationReport {
  const out = (lines: readonly string[]): void => {
    progress.clear();
    for (const line of lines) print(line);
  };
  return {
    packet(packet) {
      out(format === 'json' ? [asciiJson(packetJson(packet))] : packetLines(packet));
    },
    warning(message) {
      progress.clear();
      tell(message, 'yellow');
    },
    summary(explanation) {
      out(format === 'json' ? summaryJson(explanation).map(asciiJson) : summaryLines(explanation));
    },
  };
}

function packetLines(packet: ExplainedPacket): readonly string[] {
  const { number, timeMs, source, destination, protocol, port } = packet;
  const { scheme, client, verdict, reason, why } = packet;
  const who = client === undefined ? scheme : `${scheme}, client ${client}`;
  const what = reason === undefined ? verdict : `${verdict} (${reason})`;
  return [
    ...wrap(`#${number} ${isoTime(timeMs)} ${source} > ${destination} ${protocol}/${port}`),
    ...wrap(`${who}: ${what}`, 4),
    ...wrap(why, 4),
  ];
}

function packetJson(packet: ExplainedPacket) {
  const { number, timeMs, source, destination, protocol, port, scheme, client, verdict, reason } = packet;
  const { clockOffsetMs, knock, knocks, seen, grants, why } = packet;
  const offset =
    clockOffsetMs === undefined ? {} : { clock_offset_seconds: Math.round(clockOffsetMs / 100) / 10 };
  return {
    ...{ time: isoTime(timeMs), event: 'packet', packet: number, source, destination, protocol, port },
    ...{ scheme, client, verdict, reason, ...offset, knock, knocks, seen },
    grants: grants?.map((grant) => ({
      ...{ service: grant.service, protocol: grant.protocol, port: grant.port, source: grant.source },
      ...{ connections: grant.connections, open_until: isoTime(grant.openUntil) },
    })),
    message: why,
  };
}

function summaryLines(explanation: Explanation): readonly string[] {
  const { packets, timeMs, unread, untold, sources, unlisted } = explanation;
  const span = timeMs === null ? '' : `, ${isoTime(timeMs[0])} to ${isoTime(timeMs[1])}`;
  const more = [
    ...(sources.length === 0 ? ['no packet touched a scheme'] : sources.flatMap(sourceSentences)),
    ...(untold > 0 ? [`${untold} more packets that looked like knocks were counted only`] : []),
    ...(unlisted > 0 ? [`${unlisted} packets of more sources than are listed`] : []),
    ...Object.entries(unread).map(([why, count]) => `${count} packets not looked at: ${why}${advice(why)}`),
  ];
  return ['', ...wrap(`${packets} packets${span}`), ...more.flatMap((text) => wrap(text))];
}

/** What became of one source, a sentence for each kind of thing. */
function sourceSentences(found: ExplainedSource): readonly string[] {
  const { source, clients, opened, closed, duplicates, refused, missed, unfinished } = found;
  const as = clients.length === 0 ? '' : ` as ${clients.join(', ')}`;
  return [
    ...(opened > 0 ? [`${source} knocked${as}: opened ${times(opened)}`] : []),
    ...(closed > 0 ? [`${source} asked${as} to close ${times(closed)}`] : []),
    ...(duplicates > 0 ? [`${source} repeated its last knock ${times(duplicates)}: no harm done`] : []),
    ...counted(`${source} was refused`, refused),
    ...counted(`${source} sent what looked like a knock`, missed),
    ...unfinished.map((one) => `${source} ${unfinishedSentence(one)}`),
  ];
}

function counted(start: string, counts: Readonly<Record<string, number>>): readonly string[] {
  const all = Object.entries(counts);
  if (all.length === 0) return [];
  const sum = all.reduce((total, [, count]) => total + count, 0);
  return [`${start} ${times(sum)}: ${all.map(([reason, count]) => `${reason} ${count}`).join(', ')}`];
}

function unfinishedSentence({ client, attempts, seen, knocks, end }: Unfinished): string {
  const missing = Array.from({ length: knocks }, (_, i) => i + 1).filter((knock) => !seen.includes(knock));
  const [first = 0] = missing;
  const last = attempts > 1 ? ` (the last of ${attempts} attempts)` : '';
  const fate = {
    open: `${knockList(missing)} never arrived`,
    late: `knock ${first} came too late`,
    broken:
      seen.length >= first
        ? `knock ${first} never arrived`
        : `something else came in place of knock ${first}`,
  };
  return `sent ${knockList(seen)} of client ${client}: ${fate[end]}${last}`;
}

function knockList(knocks: readonly number[]): string {
  return `${knocks.length === 1 ? 'knock' : 'knocks'} ${knocks.join(', ')}`;
}

function times(count: number): string {
  return count === 1 ? 'once' : `${count} times`;
}

function advice(why: string): string {
  return why === 'truncated' ? ' (record whole packets: tcpdump -s 0)' : '';
}

function summaryJson(explanation: Explanation): readonly object[] {
  const { packets, timeMs, unread, untold, sources, unlisted } = explanation;
  const [first, last] = timeMs ?? [null, null];
  return [
    ...sources.map((source) => ({ event: 'source', ...source })),
    {
      ...{ event: 'summary', packets, unread, untold, unlisted },
      first: first === null ? null : isoTime(first),
      last: last === null ? null : isoTime(last),
    },
  ];
}

function isoTime(timeMs: number): string {
  return new Date(timeMs).toISOString();
}
