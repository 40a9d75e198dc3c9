// Ports that nothing uses at the moment, for tests that must name one beforehand.

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

/** A free UDP port of all addresses. */
export async function freePort(): Promise<number> {
  return (await freePorts(1))[0];
}

/** A range of `count` free UDP ports. */
export async function freePorts(count: number): Promise<[low: number, high: number]> {
  for (let tries = 0; tries < 50; tries += 1) {
    const low = 20_000 + Math.floor(Math.random() * 12_000);
    const sockets: Socket[] = [];
    try {
      for (let port = low; port < low + count; port += 1) sockets.push(await bound(port));
      return [low, low + count - 1];
    } catch {
      continue;
    } finally {
      for (const socket of sockets) await closed(socket);
    }
  }
  throw new Error(`no ${String(count)} free ports in a row`);
}

async function bound(port: number): Promise<Socket> {
  const socket = createSocket({ type: 'udp6' });
  socket.bind({ port, address: '::', exclusive: true });
  await once(socket, 'listening');
  return socket;
}

async function closed(socket: Socket): Promise<void> {
  socket.close();
  await once(socket, 'close');
}
