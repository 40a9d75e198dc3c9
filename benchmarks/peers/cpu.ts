// Part b: what a million junk packets cost the daemons, all their processes: traffic for nobody, and junk that is aimed
// at their filters. A daemon that drops is cheap, so the share that it dropped stands beside.

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FRAME_HEADER } from '../../lib/capture/frames.ts';
import { must } from '../bench.ts';
import { workFolder } from '../machine.ts';
import { hintIn, nameOf, writeJunk, type Junk } from './junk.ts';
import { ours } from './ours.ts';
import type { Context } from './part.ts';
import { arrivedAt, captureProcess, socketCounts, spentMs, writtenBytes } from './processes.ts';
import { spread, type Row } from './result.ts';
import { compiled, onClient, pause, type Subject } from './rig.ts';
import { fwknopd, knockd, KNOCKD_SEQUENCE } from './theirs.ts';

/** One daemon, one kind of junk. */
interface Lane {
  readonly runner: Runner;
  readonly junk: Junk;
  readonly file: string;
  readonly frameBytes: number;
  readonly costs: number[];
  readonly dropped: number[];
}

interface Programs {
  readonly flood: string;
  readonly stats: string;
}

const RATE = 100_000;
/** A million in thirty rounds. */
const PACKETS = 33_400;
const SMOKE_PACKETS = 5000;
const MILLION = 1_000_000;
const SETTLE_MS = 1500;
/** The default fwknopd still reads for seconds what its buffer held. */
const SLOW_SETTLE_MS = 9000;
/** Every peer's periodic work falls into it several times. */
const IDLE_MS = 8000;
const UNRELATED: Junk = { kind: 'unrelated' };
const SPA: Junk = { kind: 'spa' };
const TEXT: Junk = { kind: 'text' };

/** The part. */
export async function measure(context: Context): Promise<Row[]> {
  const programs: Programs = { flood: compiled('flood'), stats: compiled('packet-stats') };
  const runners: Runner[] = [];
  const lanes: Lane[] = [];
  const add = async (starting: Promise<Subject>, junks: readonly Junk[], about?: string): Promise<Runner> => {
    const runner = new Runner(await starting, programs, about);
    runners.push(runner);
    context.command(runner.subject.command);
    for (const junk of junks) lanes.push(newLane(runner, junk, context));
    return runner;
  };
  try {
    const hinted = await add(ours({ driver: 'iptables', schemes: ['spa suite 1'] }), [UNRELATED, SPA]);
    lanes.push(newLane(hinted, { kind: 'spa', hint: await hintIn(hinted.subject) }, context));
    await add(ours({ driver: 'nftables', schemes: ['spa suite 1'] }), [UNRELATED, SPA]);
    const clockless = ours({ driver: 'iptables', schemes: ['spa suite 1'], hint: false });
    await add(clockless, [SPA], 'a client without a clock');
    await add(ours({ driver: 'iptables', schemes: ['one-time'] }), [{ kind: 'one-time' }]);
    await add(ours({ driver: 'iptables', schemes: ['sequence'] }), [
      { kind: 'syn', port: KNOCKD_SEQUENCE[0] },
    ]);
    await add(knockd(), [UNRELATED, { kind: 'syn', port: KNOCKD_SEQUENCE[0] }]);
    // Two of the slow one, so that one reads what is left while the other is flooded.
    await add(fwknopd('default'), [UNRELATED, SPA]);
    await add(fwknopd('default'), [TEXT]);
    await add(fwknopd('tuned'), [UNRELATED, SPA, TEXT]);
    await learnIdle(runners, context);
    // The first round only warms up.
    for (let round = 0; round <= context.rounds; round += 1) {
      for (const lane of lanes) await lane.runner.flood(lane, round > 0);
    }
    for (const runner of runners) await runner.finish();
    return lanes.flatMap(rowsOf);
  } finally {
    for (const { subject } of runners) await subject.stop();
    for (const { file } of lanes) await rm(file, { force: true });
  }
}

function newLane(runner: Runner, junk: Junk, { smoke }: Context): Lane {
  const file = join(
    workFolder,
    `peers-cpu-${runner.subject.pid}-${nameOf(junk).replaceAll(' ', '-')}.frames`,
  );
  const count = smoke ? SMOKE_PACKETS : PACKETS;
  const frameBytes = writeJunk({ path: file, junk, count, format: 'flood' });
  return { runner, junk, file, frameBytes, costs: [], dropped: [] };
}

async function learnIdle(runners: readonly Runner[], { smoke }: Context): Promise<void> {
  await pause(SETTLE_MS);
  for (const runner of runners) runner.idleFrom();
  await pause(smoke ? IDLE_MS / 4 : IDLE_MS);
  for (const runner of runners) runner.idleTo();
}

interface Snapshot {
  readonly atMs: number;
  readonly spent: number;
  readonly arrived: number;
  /** Of ours: the capture process, and what it has written so far. */
  readonly capture: number | null;
  readonly written: number;
}

/** One daemon. Its cost is taken when it has come to rest, which is not waited for until it is needed again. */
class Runner {
  readonly subject: Subject;
  readonly about: string | undefined;
  readonly #programs: Programs;
  #idleShare = 0;
  #before: Snapshot;
  #open: { readonly lane: Lane; readonly counts: boolean; readonly endMs: number } | null = null;

  constructor(subject: Subject, programs: Programs, about?: string) {
    this.subject = subject;
    this.about = about;
    this.#programs = programs;
    this.#before = this.#now();
  }

  idleFrom(): void {
    this.#before = this.#now();
  }

  idleTo(): void {
    const { atMs, spent } = this.#now();
    this.#idleShare = (spent - this.#before.spent) / (atMs - this.#before.atMs);
  }

  async flood(lane: Lane, counts: boolean): Promise<void> {
    await this.finish();
    // Sets the kernel's counters to zero; ours reads its own every second.
    this.#before = this.#now();
    if (this.#before.capture === null) socketCounts(this.#programs.stats, this.subject.pid);
    await onClient(this.subject.world, this.#programs.flood, ['out0', lane.file, String(RATE), '0']);
    this.#open = { lane, counts, endMs: performance.now() };
  }

  /**
   * Takes the cost of the last flood: all that the daemon spent while it came and on what was left of it then, but not
   * what it spends in that time when nothing comes. Of traffic that no filter lets through, what it adds to idling.
   */
  async finish(): Promise<void> {
    const open = this.#open;
    if (open === null) return;
    this.#open = null;
    const isForNobody = open.lane.junk.kind === 'unrelated';
    const settleMs = this.subject.variant === 'default' && !isForNobody ? SLOW_SETTLE_MS : SETTLE_MS;
    await pause(Math.max(0, open.endMs + settleMs - performance.now()));
    const { atMs, spent, arrived, capture, written } = this.#now();
    const before = this.#before;
    // Its filter was renewed meanwhile, by another process.
    if (capture !== before.capture) return;
    const packets = arrived - before.arrived;
    must(packets > 0, 'the flood arrives');
    const { passed, dropped } = this.#drops({ lane: open.lane, packets, written: written - before.written });
    const idleMs = atMs - (isForNobody ? before.atMs : open.endMs);
    const ms = spent - before.spent - this.#idleShare * idleMs;
    if (!open.counts) return;
    open.lane.costs.push((Math.max(0, ms) * MILLION) / packets);
    open.lane.dropped.push(passed === 0 ? 0 : dropped / passed);
  }

  /** Of what passed the filter. Our capture process writes all that it gets to a pipe. */
  #drops({ lane, packets, written }: { lane: Lane; packets: number; written: number }): {
    passed: number;
    dropped: number;
  } {
    if (this.#before.capture === null) return socketCounts(this.#programs.stats, this.subject.pid);
    const came = Math.round(written / (FRAME_HEADER + lane.frameBytes));
    const isFiltered =
      lane.junk.kind === 'unrelated' || (lane.junk.kind === 'spa' && this.#asksForHint(lane));
    must(!isFiltered || came < packets / 1000, `the filter holds back ${nameOf(lane.junk)}`);
    return isFiltered ? { passed: 0, dropped: 0 } : { passed: packets, dropped: Math.max(0, packets - came) };
  }

  #asksForHint({ junk }: Lane): boolean {
    return this.about === undefined && junk.kind === 'spa' && junk.hint === undefined;
  }

  #captured(): Pick<Snapshot, 'capture' | 'written'> {
    if (this.subject.name !== 'portknock') return { capture: null, written: 0 };
    const capture = captureProcess(this.subject);
    return { capture, written: writtenBytes(capture) };
  }

  #now(): Snapshot {
    const pids = this.subject.pids();
    return {
      atMs: performance.now(),
      spent: spentMs(pids),
      arrived: arrivedAt(this.subject),
      ...this.#captured(),
    };
  }
}

function rowsOf({ runner: { subject, about }, junk, costs, dropped }: Lane): Row[] {
  const [scheme] = subject.schemes;
  const who = {
    subject: subject.name,
    ...(scheme === undefined ? {} : { scheme }),
    ...(subject.driver === undefined ? {} : { driver: subject.driver }),
    variant: [subject.variant, nameOf(junk), about].filter((word) => word !== undefined).join(', '),
  };
  const mean = dropped.reduce((sum, each) => sum + each, 0) / dropped.length;
  return [
    { ...who, unit: 'CPU ms per million', ...spread(costs), count: costs.length },
    { ...who, unit: '% dropped', value: 100 * mean, count: dropped.length },
  ];
}
