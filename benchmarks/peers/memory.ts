// Part f: resident memory of the daemons with all their processes, idle and after a million junk packets from a million
// sources, of the kind that each looks at the longest or remembers something of.

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { workFolder } from '../machine.ts';
import { hintIn, nameOf, writeJunk, type Junk } from './junk.ts';
import { DRIVERS, ours, SCHEMES } from './ours.ts';
import type { Context } from './part.ts';
import { residentMiB } from './processes.ts';
import type { Row } from './result.ts';
import { compiled, onClient, pause, type Subject } from './rig.ts';
import { fwknopd, FWKNOPD_VARIANTS, knockd, KNOCKD_SEQUENCE } from './theirs.ts';

const COUNT = 1_000_000;
const SMOKE_COUNT = 20_000;
const RATE = 100_000;
const SETTLE_MS = 5000;
const SMOKE_SETTLE_MS = 1000;
const UNIT = 'MiB';
const SYN: Junk = { kind: 'syn', port: KNOCKD_SEQUENCE[0] };

/** The part. */
export async function measure(context: Context): Promise<Row[]> {
  const flood = compiled('flood');
  const rows: Row[] = [];
  const run = async (
    starting: Promise<Subject>,
    junksOf: (subject: Subject) => Promise<Junk[]>,
  ): Promise<void> => {
    const subject = await starting;
    try {
      context.command(subject.command);
      rows.push(...(await grown(subject, { flood, junks: await junksOf(subject), context })));
    } finally {
      await subject.stop();
    }
  };
  for (const driver of DRIVERS) {
    await run(ours({ driver, schemes: SCHEMES }), async (subject) => [
      SYN,
      { kind: 'one-time' },
      { kind: 'spa', hint: await hintIn(subject) },
    ]);
  }
  await run(knockd(), async () => [SYN]);
  for (const variant of FWKNOPD_VARIANTS) await run(fwknopd(variant), async () => [{ kind: 'text' }]);
  return rows;
}

async function grown(
  subject: Subject,
  { flood, junks, context }: { flood: string; junks: readonly Junk[]; context: Context },
): Promise<Row[]> {
  const file = join(workFolder, 'peers-memory.frames');
  const settleMs = context.smoke ? SMOKE_SETTLE_MS : SETTLE_MS;
  const row = (what: string): Row => ({
    subject: subject.name,
    ...(subject.driver === undefined ? {} : { driver: subject.driver }),
    variant: subject.variant === undefined ? what : `${subject.variant}, ${what}`,
    unit: UNIT,
    value: residentMiB(subject.pids()),
    count: 1,
  });
  await pause(settleMs);
  const rows = [row('idle')];
  try {
    for (const junk of junks) {
      writeJunk({ path: file, junk, count: context.smoke ? SMOKE_COUNT : COUNT, format: 'flood' });
      await onClient(subject.world, flood, ['out0', file, String(RATE), '0']);
      await pause(settleMs);
      rows.push(row(`after ${nameOf(junk)}`));
    }
  } finally {
    await rm(file, { force: true });
  }
  return rows;
}
