// One daemon that idles, in the process namespace that this script is the first process of.
// usage: idle-child.ts DAEMON SECONDS SETTLE_SECONDS; prints what it cost as JSON.

import { spawnSync } from 'node:child_process';
import { IDLERS, type Idler } from './idle.ts';
import { ours, SCHEMES } from './ours.ts';
import { spentMs } from './processes.ts';
import { pause, type Subject } from './rig.ts';
import { fwknopd, knockd } from './theirs.ts';

/** What it prints. */
export interface Idled {
  readonly subject: string;
  readonly driver?: string;
  readonly variant?: string;
  readonly command: string;
  /** Of the daemon and all that it started. */
  readonly cpuMs: number;
  /** Processes and threads. */
  readonly started: number;
}

const [name, seconds, settleSeconds] = process.argv.slice(2);
const idler = IDLERS.find((each) => each === name);
if (idler === undefined) throw new Error(`daemon must be one of ${IDLERS.join(', ')}, got ${String(name)}`);
const subject = await startOf(idler);
try {
  await pause(Number(settleSeconds) * 1000);
  // Asking takes a number, and the program that answers may take more.
  const own = -(nextProcess() - nextProcess());
  const before = { cpuMs: spentMs(subject.pids()), process: nextProcess() };
  await pause(Number(seconds) * 1000);
  const started = nextProcess() - before.process - own;
  const cpuMs = spentMs(subject.pids()) - before.cpuMs;
  const { driver, variant, command } = subject;
  const idled: Idled = {
    subject: subject.name,
    ...(driver === undefined ? {} : { driver }),
    ...(variant === undefined ? {} : { variant }),
    ...{ command, cpuMs, started },
  };
  process.stdout.write(JSON.stringify(idled));
} finally {
  await subject.stop();
}

function startOf(which: Idler): Promise<Subject> {
  switch (which) {
    case 'portknock-iptables':
      return ours({ driver: 'iptables', schemes: SCHEMES });
    case 'portknock-nftables':
      return ours({ driver: 'nftables', schemes: SCHEMES });
    case 'knockd':
      return knockd();
    case 'fwknopd-default':
      return fwknopd('default');
    case 'fwknopd-tuned':
      return fwknopd('tuned');
  }
}

/** The number that a process gets that is started now. */
function nextProcess(): number {
  return Number(spawnSync('sh', ['-c', 'echo $$'], { encoding: 'utf8' }).stdout);
}
