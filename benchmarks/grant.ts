// Granting: the manager's bookkeeping on the mock driver, and the real thing on iptables and nftables in a network
// namespace of its own, iptables beside a bare write to the kernel's list.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { systemClock } from '../lib/clock.ts';
import type { FirewallDriver, Service } from '../lib/firewall/driver.ts';
import { mock } from '../lib/firewall/mock.ts';
import { GrantManager } from '../lib/grant/manager.ts';
import { namespacesFault } from '../test/support/netns.ts';
import { must, type Bench, type Row } from './bench.ts';

export const SSH: Service = { name: 'ssh', protocol: 'tcp', port: 22, openForMs: 30_000, connections: 1 };

/** iptables' back-ends, and nftables. */
export const FIREWALLS = ['legacy', 'nft', 'nftables'] as const;
export type Firewall = (typeof FIREWALLS)[number];
/** Fewer than an xt_recent list holds. */
const TOGETHER = 64;

export function labelOf(firewall: Firewall): string {
  return firewall === 'nftables' ? firewall : `iptables (${firewall})`;
}

export async function grant(bench: Bench): Promise<void> {
  await onMock(bench);
  const fault = namespacesFault();
  for (const firewall of FIREWALLS) {
    if (fault === null) await inNamespace(bench, firewall);
    else bench.note(`${labelOf(firewall)}: not measured, ${fault}`);
  }
}

async function onMock(bench: Bench): Promise<void> {
  const driver = mock();
  await driver.setup([SSH], { warning: () => undefined });
  const one = grantOf('192.0.2.7');
  const bare = await bench.row('mock: bare driver, open and close', async () => {
    await driver.open(one);
    await driver.close(one);
  });
  await issueAndRevoke(bench, 'mock: grant manager, issue and revoke', { driver, beside: bare });
}

/** A grant from a client and its end, with ids, timers and the queue: one after another, and many at a time. */
export async function issueAndRevoke(
  bench: Bench,
  name: string,
  { driver, beside }: { readonly driver: FirewallDriver; readonly beside?: Row },
): Promise<void> {
  const events = { closed: () => undefined, failed: (error: unknown) => must(false, String(error)) };
  const manager = new GrantManager({ driver, services: [SSH], clock: systemClock, events });
  const request = { client: 'field', source: '192.0.2.7', services: ['ssh'] };
  await bench.row(
    name,
    async () => {
      const [issued] = await manager.issue(request);
      must(issued !== undefined && (await manager.revoke(issued.id)), 'a grant is issued and revoked');
    },
    { beside },
  );
  const sources = Array.from({ length: TOGETHER }, (_, i) => `198.51.100.${i + 1}`);
  await bench.row(
    `${name}, ${TOGETHER} sources at a time`,
    async () => {
      const issued = await Promise.all(sources.map((source) => manager.issue({ ...request, source })));
      const revoked = await Promise.all(issued.flat().map(({ id }) => manager.revoke(id)));
      must(revoked.filter(Boolean).length === TOGETHER, 'all grants are issued and revoked');
    },
    { per: TOGETHER, beside },
  );
  await manager.stop();
}

export function grantOf(source: string): Parameters<FirewallDriver['open']>[0] {
  const { port, protocol } = SSH;
  const openUntil = Date.now() + 30_000;
  return { id: 'a', client: 'field', source, service: 'ssh', port, protocol, openUntil, connections: 1 };
}

async function inNamespace(bench: Bench, firewall: Firewall): Promise<void> {
  const child = spawn(
    'unshare',
    [
      '-n',
      process.execPath,
      ...process.execArgv,
      fileURLToPath(new URL('./grant-child.ts', import.meta.url)),
      firewall,
      ...(bench.smoke ? ['--smoke'] : []),
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  const [status] = (await once(child, 'close')) as [number | null];
  if (status !== 0) {
    bench.note(`${labelOf(firewall)}: not measured, see above`);
    return;
  }
  for (const line of output.trim().split('\n')) bench.take(JSON.parse(line) as Row);
}
