// Part g: grants per second of the grant manager with its journal on either driver; of whole daemons, from knocks that
// come as fast as a sender sends them; and knock to open port while 10,000 grants are open.

import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { frame } from '../../test/support/frames.ts';
import { finished } from '../../test/support/netns.ts';
import { must } from '../bench.ts';
import { workFolder } from '../machine.ts';
import { Prober } from './open.ts';
import { DRIVERS, ours, type DriverName } from './ours.ts';
import type { Context } from './part.ts';
import { spread, type Row } from './result.ts';
import { compiled, onClient, pause, sourceOf, type Packet, type Subject } from './rig.ts';
import { fwknopd, knockd } from './theirs.ts';

const CHILD = fileURLToPath(new URL('./grants-child.ts', import.meta.url));
/** Fewer than the 100 addresses that an xt_recent list of the kernel holds unless its module is told otherwise. */
const TOGETHER: Readonly<Record<DriverName, number>> = { iptables: 90, nftables: 1000 };
const OPEN_GRANTS: Readonly<Record<DriverName, number>> = { iptables: 90, nftables: 10_000 };
const SMOKE_GRANTS = 1000;
/** Knocks of as many sources at once, for each of the peers; they are waited for so long. */
const PEER_KNOCKS = 250;
const PEER_PATIENCE_MS = 10_000;
/** Without one more grant. */
const FILL_PATIENCE_MS = 5000;
/** Of one client; what is beyond a thousand that are undecided is refused. */
const AT_ONCE = 900;
const XT_RECENT = 'an xt_recent list holds 100 addresses per service (module parameter ip_list_tot)';

export async function measure(context: Context): Promise<Row[]> {
  const rows: Row[] = [];
  for (const driver of DRIVERS) rows.push(...(await ofManager(driver, context)));
  rows.push(await ofPeer(await fwknopd('default'), context), await ofPeer(await fwknopd('tuned'), context));
  rows.push(await ofPeer(await knockd(), context));
  for (const driver of DRIVERS) rows.push(...(await whileOpen(driver, context)));
  return rows;
}

async function ofManager(driver: DriverName, { rounds, smoke, command }: Context): Promise<Row[]> {
  await mkdir(workFolder, { recursive: true });
  const folder = await mkdtemp(join(workFolder, 'peers-grants-'));
  const together = TOGETHER[driver];
  const args = [driver, folder, String(together), String(smoke ? 2 : rounds)];
  command(
    `unshare -n node --import tsx benchmarks/peers/grants-child.ts ${driver} FOLDER ${together} ${rounds}`,
  );
  const child = spawn('unshare', ['-n', process.execPath, '--import', 'tsx', CHILD, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const { status, stdout } = await finished(child);
  await rm(folder, { recursive: true, force: true });
  must(status === 0, `grants on ${driver}`);
  const { issued, revoked } = JSON.parse(stdout) as Record<'issued' | 'revoked', number[]>;
  const row = {
    subject: 'portknock',
    driver,
    unit: 'grants/s',
    note: `${together} sources at a time, with journal`,
  };
  return [
    { ...row, variant: 'manager, issue', value: spread(issued).median, count: issued.length },
    { ...row, variant: 'manager, revoke', value: spread(revoked).median, count: revoked.length },
  ];
}

/** How fast rules appear when many sources knock at once. */
async function ofPeer(subject: Subject, { smoke }: Context): Promise<Row> {
  try {
    const count = smoke ? 40 : PEER_KNOCKS;
    const began = await knockOfMany(subject, count);
    let [open, ms] = [0, 0];
    while (open < count && performance.now() - began < PEER_PATIENCE_MS) {
      await pause(20);
      const now = await openings(subject);
      if (now > open) [open, ms] = [now, performance.now() - began];
    }
    const lost = open === count ? '' : `; ${count - open} never opened`;
    return {
      subject: subject.name,
      ...(subject.variant === undefined ? {} : { variant: subject.variant }),
      unit: 'grants/s',
      value: (1000 * open) / ms,
      note: `whole daemon, knocks of ${count} sources at once${lost}`,
    };
  } finally {
    await subject.stop();
  }
}

async function openings({ world }: Subject): Promise<number> {
  const rules = await world.gateway.must('iptables-save', []);
  return rules.split('\n').filter((line) => line.startsWith('-A') && line.includes('-j ACCEPT')).length;
}

/** Whole daemon: how fast grants come, and how long a knock takes when so many are open. */
async function whileOpen(driver: DriverName, context: Context): Promise<Row[]> {
  const count = context.smoke && driver === 'nftables' ? SMOKE_GRANTS : OPEN_GRANTS[driver];
  const subject = await ours({ driver, schemes: ['spa suite 1'], openForSeconds: 300 });
  const prober = new Prober(subject, compiled('knock'));
  try {
    const before = await probe(subject, prober, context.rounds);
    const base = subject.granted?.() ?? 0;
    const granted = (): number => (subject.granted?.() ?? 0) - base;
    let [open, ms] = [0, 0];
    for (let sent = 0; sent < count; sent += AT_ONCE) {
      const began = await knockOfMany(subject, Math.min(AT_ONCE, count - sent), sent);
      const wanted = Math.min(sent + AT_ONCE, count);
      let last = 0;
      for (;;) {
        const [now, elapsed] = [granted(), performance.now() - began];
        if (now > open) [open, last] = [now, elapsed];
        if (open >= wanted || elapsed - last > FILL_PATIENCE_MS) break;
        await pause(2);
      }
      ms += last;
    }
    must(open > 0.9 * count, `nearly all knocks are granted, ${open} of ${count} are`);
    const after = await probe(subject, prober, context.rounds);
    const whole = { subject: 'portknock', scheme: 'spa suite 1', driver, unit: 'grants/s' };
    const row = { subject: 'portknock', scheme: 'spa suite 1', driver, unit: 'ms', count: context.rounds };
    const note = driver === 'iptables' ? { note: XT_RECENT } : {};
    return [
      {
        ...whole,
        value: (1000 * open) / ms,
        note: `whole daemon, ${open.toLocaleString('en')} of ${count.toLocaleString('en')} knocks, ${AT_ONCE} sent at once`,
      },
      { ...row, variant: 'no grant open', ...spread(before) },
      { ...row, variant: `${open.toLocaleString('en')} open`, ...spread(after), ...note },
    ];
  } finally {
    await prober.stop();
    await subject.stop();
  }
}

async function probe(subject: Subject, prober: Prober, rounds: number): Promise<number[]> {
  const times: number[] = [];
  for (let round = 0; round <= rounds; round += 1) {
    const source = sourceOf(round);
    const ms = await prober.open(await subject.knock({ source }), { source });
    must(ms !== null, 'a knock opens');
    // The first only warms up.
    if (round > 0 && ms !== null) times.push(ms);
  }
  return times;
}

/** Sends a true knock from each of so many sources that nobody has; resolves to when it began. */
async function knockOfMany(subject: Subject, count: number, from = 0): Promise<number> {
  const file = join(workFolder, 'peers-knocks.frames');
  const frames: Buffer[] = [];
  for (let i = from; i < from + count; i += 1) {
    const source = `10.78.${i >> 8}.${i & 255}`;
    for (const packet of await subject.knock({ source })) frames.push(...framed(packet, { subject, source }));
  }
  await writeFile(file, Buffer.concat(frames));
  const began = performance.now();
  await onClient(subject.world, compiled('flood'), ['out0', file, '0', '0']);
  return began;
}

function framed(packet: Packet, { subject, source }: { subject: Subject; source: string }): Buffer[] {
  const to = { src: source, dst: subject.world.address[4], srcPort: 40_000, dstPort: packet.port };
  const bytes =
    packet.protocol === 'udp' ? frame({ ...to, payload: packet.payload }) : frame({ ...to, protocol: 'tcp' });
  const length = Buffer.alloc(2);
  length.writeUInt16LE(bytes.length);
  return [length, bytes];
}
