// What two halves cost: a grant through the half with root beside the driver's own, on nftables in a network namespace of
// its own, in the same run.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { namespacesFault } from '../test/support/netns.ts';
import type { Bench, Row } from './bench.ts';

export async function separation(bench: Bench): Promise<void> {
  const fault = process.getuid?.() === 0 ? namespacesFault() : 'not root';
  if (fault !== null) {
    bench.note(`two halves: not measured, ${fault}`);
    return;
  }
  const program = fileURLToPath(new URL('./separation-child.ts', import.meta.url));
  const argv = ['-n', process.execPath, ...process.execArgv, program, 'keep', String(bench.smoke)];
  const child = spawn('unshare', argv, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  await once(child, 'close');
  for (const line of output.trim().split('\n')) bench.take(JSON.parse(line) as Row);
}
