// Part a: from the last packet of a knock to the first SYN that is accepted, for each scheme and driver of ours, knockd
// and fwknopd, in turns. A program in C sends knock and SYNs and reads the clock (native/knock.c). In a turn one daemon runs,
// the others are stopped; it is knocked at a few times in a row, and the first of these, after seconds of quiet, is
// counted apart: caches are cold then, and the host's processor has done other things.

import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { once } from 'node:events';
import { closeSync, openSync, writeSync } from 'node:fs';
import { must } from '../bench.ts';
import { DRIVERS, ours } from './ours.ts';
import type { Context } from './part.ts';
import { ifItRuns } from './processes.ts';
import { number, spread, type Row } from './result.ts';
import { compiled, ended, pause, SERVICE_PORT, sourceOf, type Packet, type Subject } from './rig.ts';
import { fwknopd, FWKNOPD_VARIANTS, knockd } from './theirs.ts';

/** The gateway's hardware address in createWorld(). */
const GATEWAY_MAC = '02:00:00:00:00:01';
const GAP_US = 50;
const PATIENCE_MS = 3000;
const IN_A_ROW = 5;
/** What became due while it was stopped is done then. */
const SETTLE_MS = 100;

/** A client that knocks and tries to connect, in C. */
export class Prober {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #target: string;
  readonly #awake = stayAwake();

  constructor({ world }: Pick<Subject, 'world'>, program: string) {
    this.#child = world.outside.spawn(program, ['out0', GATEWAY_MAC], { stdio: ['pipe', 'pipe', 'inherit'] });
    must(this.#child.stdout !== null, 'the prober has an output');
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
    this.#target = world.address[4];
  }

  /** Milliseconds from the last packet to the first accepted SYN; `null` when none was. */
  async open(
    packets: readonly Packet[],
    {
      source,
      gapUs = GAP_US,
      patienceMs = PATIENCE_MS,
    }: { source: string; gapUs?: number; patienceMs?: number },
  ): Promise<number | null> {
    const words = packets.map((packet) =>
      packet.protocol === 'udp'
        ? `u:${packet.port}:${Buffer.from(packet.payload).toString('hex')}`
        : `s:${packet.port}`,
    );
    const order = [source, this.#target, SERVICE_PORT, gapUs, patienceMs, ...words].join(' ');
    this.#child.stdin?.write(`${order}\n`);
    const answer: IteratorResult<string, unknown> = await this.#lines.next();
    const ns = Number(String(answer.value).split(' ')[0]);
    must(!Number.isNaN(ns), 'the prober answers');
    return ns < 0 ? null : ns / 1e6;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.stdin?.end();
    await gone;
    await ended(this.#child);
    if (this.#awake !== null) closeSync(this.#awake);
  }
}

/** While this file is open the processors do not sleep deeply: waking them is not what is measured (as cyclictest does). */
function stayAwake(): number | null {
  try {
    const file = openSync('/dev/cpu_dma_latency', 'w');
    writeSync(file, new Uint8Array(4));
    return file;
  } catch {
    return null;
  }
}

interface Lane {
  readonly subject: Subject;
  readonly prober: Prober;
  readonly scheme: string | undefined;
  /** Of each turn's first knock, and of the others. */
  readonly first: number[];
  readonly times: number[];
  missed: number;
}

export async function measure(context: Context): Promise<Row[]> {
  const program = compiled('knock');
  const subjects: Subject[] = [];
  const probers: Prober[] = [];
  try {
    for (const driver of DRIVERS) {
      subjects.push(await ours({ driver, schemes: ['spa suite 1', 'spa suite 2', 'one-time'] }));
      // It listens on every port, so it has a gateway of its own.
      subjects.push(await ours({ driver, schemes: ['sequence'] }));
    }
    subjects.push(await knockd());
    for (const variant of FWKNOPD_VARIANTS) subjects.push(await fwknopd(variant));
    const lanes: Lane[] = subjects.flatMap((subject) => {
      context.command(subject.command);
      const prober = new Prober(subject, program);
      probers.push(prober);
      return subject.schemes.map((scheme) => ({ subject, prober, scheme, first: [], times: [], missed: 0 }));
    });
    context.command(
      'fwknop --rc-file fwknoprc --no-save-args -a SOURCE -T -B FILE -n gw   # its knocks, sent by native/knock.c',
    );
    // Not two turns of one daemon in a row, and a first round that only warms up.
    const place = ({ subject, scheme }: Lane): number => subject.schemes.indexOf(scheme);
    const turns = [...lanes].sort((one, other) => place(one) - place(other));
    let tries = 0;
    for (let round = 0; round <= context.rounds; round += 1) {
      for (const lane of turns) {
        await onlyThis(lane.subject, subjects);
        for (let i = 0; i < IN_A_ROW; i += 1) {
          const ms = await oneTry(lane, sourceOf((tries += 1)));
          if (round > 0) (i === 0 ? lane.first : lane.times).push(...ms);
        }
      }
    }
    return lanes.map(rowOf);
  } finally {
    for (const subject of subjects) signalTo(subject, 'SIGCONT');
    for (const prober of probers) await prober.stop();
    for (const subject of subjects) await subject.stop();
  }
}

/** No source knocks twice soon: what became of its last opening would be asked first. */
async function oneTry(lane: Lane, source: string): Promise<readonly number[]> {
  const { subject, prober, scheme } = lane;
  const packets = await subject.knock({ source, scheme });
  const ms = await prober.open(packets, { source });
  if (ms === null) lane.missed += 1;
  await subject.shut();
  return ms === null ? [] : [ms];
}

/** What the others do while nobody knocks is not this one's time. */
async function onlyThis(subject: Subject, subjects: readonly Subject[]): Promise<void> {
  for (const other of subjects) if (other !== subject) signalTo(other, 'SIGSTOP');
  signalTo(subject, 'SIGCONT');
  await pause(SETTLE_MS);
}

function signalTo(subject: Subject, signal: NodeJS.Signals): void {
  for (const pid of subject.pids()) ifItRuns(() => process.kill(pid, signal));
}

function rowOf({ subject, scheme, first, times, missed }: Lane): Row {
  const after = `after seconds of quiet ${number(spread(first).median)} / ${number(spread(first).p95)} ms`;
  const lost = missed === 0 ? '' : `; ${missed} knocks did not open within ${PATIENCE_MS / 1000} s`;
  return {
    subject: subject.name,
    ...(scheme === undefined ? {} : { scheme }),
    ...(subject.driver === undefined ? {} : { driver: subject.driver }),
    ...(subject.variant === undefined ? {} : { variant: subject.variant }),
    unit: 'ms',
    ...spread(times),
    count: times.length,
    note: `${after}${lost}`,
  };
}
