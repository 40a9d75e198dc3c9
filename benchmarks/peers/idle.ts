// Part e: what an hour costs in which nothing comes: time on a processor, and processes started. Each daemon idles in a
// process namespace of its own, all at the same time; numbers of processes are handed out one after the other there, so
// two of them tell how many were started in between.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { finished } from '../../test/support/netns.ts';
import { must } from '../bench.ts';
import type { Idled } from './idle-child.ts';
import type { Context } from './part.ts';
import type { Row } from './result.ts';

const CHILD = fileURLToPath(new URL('./idle-child.ts', import.meta.url));
const SECONDS = 60;
const SMOKE_SECONDS = 5;
/** What is done once after the start is over then: V8 tidies up its heap in the first half minute. */
const SETTLE_SECONDS = 60;
const SMOKE_SETTLE_SECONDS = 3;
const HOUR = 3600;
/** What idle-child.ts knows. */
export const IDLERS = [
  'portknock-iptables',
  'portknock-nftables',
  'knockd',
  'fwknopd-default',
  'fwknopd-tuned',
] as const;
export type Idler = (typeof IDLERS)[number];

/** The part. */
export async function measure(context: Context): Promise<Row[]> {
  const seconds = context.smoke ? SMOKE_SECONDS : SECONDS;
  const settleSeconds = context.smoke ? SMOKE_SETTLE_SECONDS : SETTLE_SECONDS;
  const all = await Promise.all(IDLERS.map((idler) => idled(idler, { seconds, settleSeconds })));
  return all.flatMap(({ subject, driver, variant, command, cpuMs, started }) => {
    context.command(command);
    const who = {
      subject,
      ...(driver === undefined ? {} : { driver }),
      ...(variant === undefined ? {} : { variant }),
    };
    const perHour = HOUR / seconds;
    return [
      { ...who, unit: 'CPU s per hour', value: (cpuMs / 1000) * perHour, count: 1 },
      { ...who, unit: 'processes started per hour', value: started * perHour, count: 1 },
    ];
  });
}

async function idled(
  idler: Idler,
  { seconds, settleSeconds }: { seconds: number; settleSeconds: number },
): Promise<Idled> {
  const own = ['--pid', '--fork', '--mount-proc', '--kill-child'];
  const child = spawn(
    'unshare',
    [...own, process.execPath, '--import', 'tsx', CHILD, idler, String(seconds), String(settleSeconds)],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  const { status, stdout } = await finished(child);
  must(status === 0, `${idler} idles`);
  return JSON.parse(stdout) as Idled;
}
