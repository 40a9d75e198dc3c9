// A world like createWorld()'s whose link is bad: packets are lost, doubled and overtake each other. The kernels that
// the tests meet have no netem, so a program of ours (test/e2e/native/lossy.c) joins a TUN device of each side.

import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { finished, Namespace, type World } from './netns.ts';

/** What happens to packets, of either direction alike. */
export interface LinkFaults {
  readonly seed: number;
  readonly lostPercent: number;
  readonly doubledPercent: number;
  /** Held back for some milliseconds out of the range. */
  readonly heldPercent: number;
  readonly heldMs: readonly [least: number, most: number];
}

/** How many packets the link got, and what became of them. */
export interface LinkCounts {
  readonly came: number;
  readonly lost: number;
  readonly doubled: number;
  readonly held: number;
}

export interface LossyWorld extends Omit<World, 'stranger' | 'destroy'> {
  /** Ends the link and the namespaces. */
  destroy(): Promise<LinkCounts>;
}

export async function createLossyWorld(faults: LinkFaults): Promise<LossyWorld> {
  const folder = await mkdtemp(join(tmpdir(), 'portknock-lossy-'));
  const program = join(folder, 'lossy');
  const build = spawnSync('cc', ['-O2', '-o', program, 'test/e2e/native/lossy.c'], { encoding: 'utf8' });
  if (build.status !== 0) throw new Error(`lossy.c: ${build.stderr}`);
  const gateway = await Namespace.create();
  const outside = await Namespace.create();
  const { seed, lostPercent, doubledPercent, heldPercent, heldMs } = faults;
  const numbers = [seed, lostPercent, doubledPercent, heldPercent, ...heldMs].map(String);
  const ends = [String(gateway.pid), 'gw0', String(outside.pid), 'out0'];
  const link = spawn(program, [...ends, ...numbers], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(link.stdout, 'data');
  for (const [space, device, host] of [
    [gateway, 'gw0', 1],
    [outside, 'out0', 2],
  ] as const) {
    await space.must('ip', ['addr', 'add', `10.77.0.${host}/24`, 'dev', device]);
    await space.must('ip', ['-6', 'addr', 'add', `fd77::${host}/64`, 'dev', device, 'nodad']);
    await space.must('ip', ['link', 'set', device, 'up']);
    // Or what one connection suffered makes the kernel wait for seconds in all later ones.
    await space.must('sysctl', ['-q', '-w', 'net.ipv4.tcp_no_metrics_save=1']);
    // What is lost is sent again each second, where the kernel can (Linux 6.15): doubled times would add up to minutes.
    await space.run('sysctl', ['-q', '-w', 'net.ipv4.tcp_rto_max_ms=1000']);
  }
  return {
    gateway,
    outside,
    address: { 4: '10.77.0.1', 6: 'fd77::1' },
    client: { 4: '10.77.0.2', 6: 'fd77::2' },
    device: 'gw0',
    async destroy() {
      const { stdout } = await finished(link);
      await outside.destroy();
      await gateway.destroy();
      await rm(folder, { recursive: true });
      const [came = 0, lost = 0, doubled = 0, held = 0] = stdout.trim().split(' ').map(Number);
      return { came, lost, doubled, held };
    },
  };
}
