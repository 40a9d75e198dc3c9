// What leaves a gateway, as tcpdump there prints it: all of it from the first packet to the last, however busy the machine.

import type { Agent } from '../support/agent.ts';
import { finished, type World } from '../support/netns.ts';
import { until } from './support.ts';

export interface Leaving {
  readonly world: World;
  /** On the gateway's host. */
  readonly inside: Agent;
  /** Of tcpdump, before its filter. */
  readonly args: readonly string[];
  readonly filter: string;
}

/** The discard service; nothing else is sent there. */
const MARK_PORT = 9;
const MARK = / > \S+\.9: /u;

/** What tcpdump printed, in lines, while `run` went on, which may look at what there is so far. */
export async function leaving(
  { world, inside, args, filter }: Leaving,
  run: (lines: () => readonly string[]) => Promise<void>,
): Promise<readonly string[]> {
  const dump = world.gateway.spawn(
    'tcpdump',
    ['-i', world.device, '-n', '-l', '-Q', 'out', ...args, `(${filter}) or udp dst port ${MARK_PORT}`],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let [printed, said] = ['', ''];
  dump.stdout?.on('data', (chunk: Buffer) => (printed += chunk.toString()));
  dump.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const done = finished(dump);
  try {
    await until('tcpdump listens', () => said.includes('listening on'));
    await run(() => linesOf(printed));
    // It comes after all that was sent before.
    const mark = { host: world.client[4], port: MARK_PORT, payload: 'bWFyaw==' };
    await inside.datagrams({ packets: [mark] });
    await until('tcpdump has printed all', () => MARK.test(printed));
  } finally {
    dump.kill('SIGTERM');
    await done;
  }
  return linesOf(printed);
}

/** The whole lines before the mark. */
function linesOf(printed: string): readonly string[] {
  const lines = printed.split('\n').slice(0, -1);
  const end = lines.findIndex((line) => MARK.test(line));
  return end < 0 ? lines : lines.slice(0, end);
}
