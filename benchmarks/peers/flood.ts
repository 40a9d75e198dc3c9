// Part c: of twenty true knocks that are sent while junk comes, which one daemon's filter lets through, how many open
// the port. Each knock is sent once, from a source of its own, and has five seconds; floods and knocks come from C.

import { once } from 'node:events';
import { join } from 'node:path';
import { finished } from '../../test/support/netns.ts';
import { must } from '../bench.ts';
import { nameOf, writeJunk, type Junk } from './junk.ts';
import { Prober } from './open.ts';
import { DRIVERS, ours, type SchemeName } from './ours.ts';
import type { Context } from './part.ts';
import { spread, type Row } from './result.ts';
import { compiled, pause, sourceOf, type Subject } from './rig.ts';
import { fwknopd, FWKNOPD_VARIANTS, knockd, KNOCKD_SEQUENCE } from './theirs.ts';
import { workFolder } from '../machine.ts';

/** Packets per second; 0: as many as the link carries. */
const RATES = [10_000, 50_000, 100_000, 200_000, 0] as const;
const SMOKE_RATES = [100_000, 0] as const;
const KNOCKS = 20;
const BETWEEN_MS = 150;
const PATIENCE_MS = 5000;
const SMOKE_PATIENCE_MS = 1500;
/** Between two attempts to connect: the flood is to have the machine, not the client. */
const GAP_US = 5000;
/** What comes before the first knock, so that every buffer is as full as it gets. */
const LEAD_MS = 500;
const DIFFERENT = 20_000;

/** A daemon and the junk that is aimed at it. */
interface Case {
  readonly start: () => Promise<Subject>;
  readonly scheme?: SchemeName;
  readonly junk: Junk;
  /** An outsider who saw one knock writes its hint into his junk. */
  readonly sniffs?: boolean;
}

const CASES: readonly Case[] = [
  ...DRIVERS.flatMap((driver) => [
    spaCase({ start: () => ours({ driver, schemes: ['spa suite 1'] }) }),
    spaCase({ start: () => ours({ driver, schemes: ['spa suite 1'] }), sniffs: true }),
    {
      start: () => ours({ driver, schemes: ['one-time'] }),
      scheme: 'one-time' as const,
      junk: { kind: 'one-time' as const },
    },
  ]),
  { start: knockd, junk: { kind: 'syn', port: KNOCKD_SEQUENCE[0] } },
  ...FWKNOPD_VARIANTS.map((variant): Case => ({ start: () => fwknopd(variant), junk: { kind: 'text' } })),
];

export async function measure(context: Context): Promise<Row[]> {
  const programs = { knock: compiled('knock'), flood: compiled('flood') };
  const rows: Row[] = [];
  for (const rate of context.smoke ? SMOKE_RATES : RATES) {
    // A daemon for each flood: what one has left behind must not count for the next.
    for (const each of CASES) rows.push(await flooded(each, { rate, programs, context }));
  }
  return rows;
}

function spaCase(given: Pick<Case, 'start' | 'sniffs'>): Case {
  return { ...given, scheme: 'spa suite 1', junk: { kind: 'spa' } };
}

async function flooded(
  { start, scheme, junk: plain, sniffs = false }: Case,
  {
    rate,
    programs,
    context,
  }: { rate: number; programs: Record<'knock' | 'flood', string>; context: Context },
): Promise<Row> {
  const subject = await start();
  const probers: Prober[] = [];
  try {
    const junk = sniffs ? await withHint(subject) : plain;
    const file = join(workFolder, 'peers-flood.frames');
    writeJunk({ path: file, junk, count: DIFFERENT, format: 'flood' });
    const [knocks, waits] = context.smoke ? [6, SMOKE_PATIENCE_MS] : [KNOCKS, PATIENCE_MS];
    for (let i = 0; i < knocks; i += 1) probers.push(new Prober(subject, programs.knock));
    const flood = subject.world.outside.spawn(programs.flood, ['out0', file, String(rate), '3600'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const report = finished(flood);
    await once(flood, 'spawn');
    await pause(LEAD_MS);
    const tries: Promise<number | null>[] = [];
    for (const [i, prober] of probers.entries()) {
      const source = sourceOf(i);
      const packets = await subject.knock({ source, scheme });
      tries.push(prober.open(packets, { source, gapUs: GAP_US, patienceMs: waits }));
      await pause(BETWEEN_MS);
    }
    const times = await Promise.all(tries);
    flood.kill('SIGTERM');
    const [sent = 0, us = 1] = (await report).stdout.split(' ').map(Number);
    return rowOf(subject, { scheme, junk, rate, perSecond: sent / (us / 1e6), times });
  } finally {
    for (const prober of probers) await prober.stop();
    await subject.stop();
  }
}

function rowOf(
  subject: Subject,
  {
    scheme,
    junk,
    rate,
    perSecond,
    times,
  }: {
    scheme: SchemeName | undefined;
    junk: Junk;
    rate: number;
    perSecond: number;
    times: readonly (number | null)[];
  },
): Row {
  const opened = times.filter((ms) => ms !== null);
  const asked = rate === 0 ? 'flat out' : `${rate / 1000}k/s`;
  const hinted = junk.kind === 'spa' && junk.hint !== undefined ? ' with hint' : '';
  const came = `${nameOf(junk)}, ${Math.round(perSecond).toLocaleString('en')} packets/s`;
  const took = opened.length === 0 ? '' : `; knock to open port ${spread(opened).median.toFixed(1)} ms`;
  return {
    subject: subject.name,
    ...(scheme === undefined ? {} : { scheme }),
    ...(subject.driver === undefined ? {} : { driver: subject.driver }),
    variant: [subject.variant ?? [], `junk${hinted} ${asked}`].flat().join(', '),
    unit: '% let in',
    value: (100 * opened.length) / times.length,
    count: times.length,
    note: came + took,
  };
}

/** The hint of a true knock, which whoever sees one can read. */
async function withHint(subject: Subject): Promise<Junk> {
  const [knock] = await subject.knock({ source: sourceOf(0), scheme: 'spa suite 1' });
  must(knock?.protocol === 'udp' && 'payload' in knock, 'a knock is a datagram');
  const bytes = Buffer.from((knock as { payload: Uint8Array }).payload);
  return { kind: 'spa', hint: bytes.readInt32BE(0) ^ bytes.readInt32BE(4) };
}
