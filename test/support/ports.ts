// Ports that nothing uses at the moment, for tests that must name one beforehand: free for UDP and for TCP, below those that
// the kernel gives to whoever asks for any, in a range of each test lane's own, and none twice before all had their turn.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';

const LOWEST = 20_000;
const COUNT = 12_000;
/** Of test/run.ts: this process's lane and how many there are. */
const [LANE = 0, LANES = 1] = (process.env.PORTKNOCK_TEST_LANE ?? '0/1').split('/').map(Number);
const SIZE = Math.floor(COUNT / LANES);

/** How far we are in our range; another run on this host begins elsewhere. */
let next = Math.floor(Math.random() * SIZE);

/** A free port of all addresses. */
export async function freePort(): Promise<number> {
  return (await freePorts(1))[0];
}

/** A range of `count` free ports. */
export async function freePorts(count: number): Promise<[low: number, high: number]> {
  for (let tries = 0; tries < SIZE; tries += 1) {
    if (next + count > SIZE) next = 0;
    const low = LOWEST + LANE * SIZE + next;
    const ports = Array.from({ length: count }, (_, i) => low + i);
    next += count;
    if ((await Promise.all(ports.map(isFree))).every(Boolean)) return [low, low + count - 1];
  }
  throw new Error(`no ${String(count)} free ports in a row`);
}

async function isFree(port: number): Promise<boolean> {
  const place = { port, address: '::', host: '::', exclusive: true };
  const [udp, tcp] = [createSocket({ type: 'udp6' }), createServer()];
  const all = [udp.bind(place), tcp.listen(place)];
  const tried = await Promise.allSettled(all.map((each) => once(each, 'listening')));
  for (const [i, each] of all.entries()) {
    if (tried[i]?.status !== 'fulfilled') continue;
    each.close();
    await once(each, 'close');
  }
  return tried.every(({ status }) => status === 'fulfilled');
}
