// Bodies of attacks 14 to 16, once: burning an opening with forged segments, slipping a second connection through it, and
// what must not break the one that it is for. Through the whole gateway: attacks/14-connections.test.ts, where a knock
// opens; for each driver alone, and with prefixes: one-connection.test.ts.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { ACK, FIN, RST, SYN } from '../../lib/packet/view.ts';
import type { Agent } from '../support/agent.ts';
import { frame } from '../support/frames.ts';
import type { Namespace, World } from '../support/netns.ts';
import { inject, pause, until } from './support.ts';

/** A port of the gateway's host, and how it is opened for the client. */
export interface Door {
  readonly world: World;
  /** On the gateway's host, where an echo server listens on the port. */
  readonly inside: Agent;
  readonly outside: Agent;
  readonly family: 4 | 6;
  readonly port: number;
  /** Opens it; how many connections that admits. */
  open(): Promise<number>;
}

/** What a stranger sends from the client's address; all but the last from a new port each. */
export const FORGED: Readonly<Record<string, readonly (readonly [flags: number, seq: number])[]>> = {
  'a SYN': [[SYN, 77]],
  'an ACK': [[ACK, 77]],
  'stray segments': [FIN, RST, 0, FIN | 8 | 32, SYN | ACK, FIN | ACK].map((flags) => [flags, 77]),
  '500 half-open connections': Array.from({ length: 500 }, (_, i) => [SYN, i]),
  // Whose acknowledgement cannot be right.
  'a blind handshake': [
    [SYN, 77],
    [ACK, 78],
  ],
};
/** Below those that the kernel takes for the connections of its own. */
const FORGED_PORTS = 15_000;
/** How the first connection ends. */
export const ENDS = ['FIN', 'reset of the client', 'reset of the server'] as const;

/** Attack 14: the opening is not used up by segments that are forged. */
export async function survivesForged(door: Door, what: string): Promise<void> {
  const admits = await door.open();
  const isBlind = what === 'a blind handshake';
  const base = FORGED_PORTS + 1000 * Object.keys(FORGED).indexOf(what);
  const segments = (FORGED[what] ?? []).map(([flags, seq], i) =>
    segment(door, { srcPort: base + (isBlind ? 0 : i), flags, seq }),
  );
  await inject(door.world, segments);
  if (isBlind) await afterResets(door, base + 100);
  for (let i = 1; i <= admits; i += 1) assert.equal(`${i}: ${await connect(door)}`, `${i}: talks`);
  assert.equal(await connect(door), 'refused');
}

/**
 * The same handshake once the client has answered our SYN-ACK with a reset: for every other first number of ours, a lax
 * tracker takes any acknowledgement then.
 */
async function afterResets(door: Door, base: number): Promise<void> {
  const ports = Array.from({ length: 16 }, (_, i) => base + i);
  await inject(
    door.world,
    ports.map((srcPort) => segment(door, { srcPort, flags: SYN, seq: 77 })),
  );
  await pause(100);
  const ack = { flags: ACK, seq: 78 };
  await inject(
    door.world,
    ports.flatMap((srcPort) => [segment(door, { srcPort, ...ack }), segment(door, { srcPort, ...ack })]),
  );
}

/** Attack 15: the ports of the first connection, which has ended, are no way in; nor if it was `closed` for good. */
export async function keepsPortsShut(
  door: Door,
  end: (typeof ENDS)[number],
  closed: () => Promise<unknown> = () => Promise.resolve(),
): Promise<void> {
  const { world, outside, family, port } = door;
  lastPort = lastPort === 29_000 ? 25_001 : lastPort + 1;
  const localPort = lastPort;
  const peer = { host: world.address[family], source: world.client[family], port, localPort };
  assert.equal(await door.open(), 1);
  const first = await outside.connect(peer);
  assert.equal(first.outcome, 'talks');
  await closed();
  if (end === 'reset of the server') assert.ok((await door.inside.reset(null)) >= 1);
  await outside.hangUp({ id: first.id, reset: end === 'reset of the client' });
  // At once: conntrack takes what comes for a part of the old connection for some seconds.
  assert.notEqual((await outside.connect({ ...peer, timeoutMs: 1000 })).outcome, 'talks', 'at once');
  await inject(
    world,
    [59_049, 531_441].map((seq) => segment(door, { srcPort: localPort, flags: SYN, seq })),
  );
  assert.notEqual(
    (await outside.connect({ ...peer, timeoutMs: 1000 })).outcome,
    'talks',
    'after forged SYNs',
  );
  assert.equal(await connect(door), 'refused');
  if (end === 'reset of the server') await forgetEnded(world);
}

let lastPort = 25_000;

/**
 * The ports of what ended with a reset on the gateway's side are no way in for ten seconds. After a test that resets
 * many, a connection of the next ones would come upon one of them.
 */
export async function forgetEnded({ gateway }: World): Promise<void> {
  await gateway.must('conntrack', ['-F']);
}

/** Attack 15: as many of eight racing connections get in as the opening admits, in each round. */
export async function admitsInRaces(door: Door, rounds: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'portknock-race-'));
  const program = join(folder, 'race');
  const build = spawnSync('cc', ['-O2', '-pthread', '-o', program, 'test/e2e/native/race.c']);
  assert.equal(build.status, 0, String(build.stderr));
  const racer = door.world.outside.spawn(program, [door.world.address[door.family], String(door.port)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  assert.ok(racer.stdin !== null && racer.stdout !== null);
  const answers = createInterface({ input: racer.stdout })[Symbol.asyncIterator]();
  const counts = new Map<number, number>();
  let admits = 0;
  for (let round = 0; round < rounds; round += 1) {
    admits = await door.open();
    racer.stdin.write('go\n');
    const admitted = Number((await answers.next()).value);
    counts.set(admitted, (counts.get(admitted) ?? 0) + 1);
  }
  racer.stdin.end();
  await once(racer, 'exit');
  rmSync(folder, { recursive: true });
  await forgetEnded(door.world);
  assert.deepEqual([...counts], [[admits, rounds]], 'admitted connections per round, and how often');
}

/** Attack 16: a SYN that is sent again, because the SYN-ACK was lost, connects. */
export async function connectsAgain(door: Door, { iptables = 'iptables-nft' } = {}): Promise<void> {
  const { world, outside, family, port } = door;
  const filter = family === 4 ? iptables : iptables.replace('ip', 'ip6');
  const from = ['-p', 'tcp', '--sport', String(port)];
  const lossy = [...from, '--tcp-flags', 'SYN,ACK', 'SYN,ACK', '-j', 'DROP'];
  await world.gateway.must(filter, ['-I', 'OUTPUT', '1', ...lossy]);
  const admits = await door.open();
  const waiting = outside.connect({ host: world.address[family], port });
  await dropped({ space: world.gateway, filter });
  await world.gateway.must(filter, ['-D', 'OUTPUT', ...lossy]);
  const { outcome, ms } = await waiting;
  assert.equal(outcome, 'talks');
  assert.ok(ms > 900, `connected only by a repeated SYN, after ${ms.toFixed(0)} ms`);
  assert.equal(await connect(door), admits === 1 ? 'refused' : 'talks');
}

/** Waits until the first rule of OUTPUT has dropped so many packets. */
export async function dropped(
  { space, filter }: { readonly space: Namespace; readonly filter: string },
  least = 1,
): Promise<void> {
  await until(`${least} SYN-ACKs are lost`, async () => {
    const counted = await space.must(filter, ['-vxnL', 'OUTPUT', '1']);
    return Number.parseInt(counted.trim(), 10) >= least;
  });
}

async function connect({ world, outside, family, port }: Door): Promise<string> {
  return (await outside.connect({ host: world.address[family], port, source: world.client[family] })).outcome;
}

function segment(
  { world, family, port }: Door,
  more: { readonly srcPort: number; readonly flags: number; readonly seq: number },
): Buffer {
  const way = { src: world.client[family], dst: world.address[family], dstPort: port };
  return frame({ ...way, protocol: 'tcp', ...more });
}
