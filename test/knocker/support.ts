// The other side of a knock on loopback: bound UDP ports that write down what comes, TCP services that open and close.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import type { Clock } from '../../lib/clock.ts';
import { systemClock } from '../../lib/clock.ts';
import type { OneTimeProfile } from '../../lib/knocker/profile.ts';

export const HOST = '127.0.0.1';

export const PROFILE: OneTimeProfile = {
  host: HOST,
  client: 'field',
  scheme: 'one-time',
  secret: Buffer.alloc(32, 7),
  digest: 'sha256',
  knocks: 5,
  ports: [20000, 52767],
  step: 10,
  carrier: 'udp',
  services: { ssh: 22 },
};

export interface Heard {
  readonly port: number;
  readonly payload: string;
  readonly from: number;
}

/** Datagrams that arrived, in order. */
export interface Ear {
  readonly heard: Heard[];
  /** Resolves when so many have arrived. */
  count(wanted: number): Promise<readonly Heard[]>;
  onHeard: () => void;
  close(): Promise<void>;
}

/** Listens on UDP ports of one loopback address. */
export async function listenUdp(ports: readonly number[], address = HOST): Promise<Ear> {
  const heard: Heard[] = [];
  const waiting = new Set<() => void>();
  const kind = address.includes(':') ? 'udp6' : 'udp4';
  const sockets = [...new Set(ports)].map((port) => ({ port, socket: createSocket(kind) }));
  const ear: Ear = {
    heard,
    onHeard: () => undefined,
    count: async (wanted) => {
      while (heard.length < wanted) await new Promise<void>((resolve) => waiting.add(resolve));
      return heard;
    },
    close: async () => {
      for (const { socket } of sockets) {
        socket.close();
        await once(socket, 'close');
      }
    },
  };
  for (const { port, socket } of sockets) {
    socket.on('message', (message, from) => {
      heard.push({ port, payload: message.toString('hex'), from: from.port });
      ear.onHeard();
      for (const each of waiting) each();
      waiting.clear();
    });
    socket.bind(port, address);
    await once(socket, 'listening');
  }
  return ear;
}

/** A TCP service on a port that it keeps when it closes and opens. */
export class Service {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.on('error', () => undefined).on('close', () => this.#sockets.delete(socket));
    });
  }

  static async closed(onConnection: (socket: Socket) => void, address = HOST): Promise<Service> {
    const server = createServer(onConnection).listen(0, address);
    await once(server, 'listening');
    const place = server.address();
    const service = new Service(server, typeof place === 'object' && place !== null ? place.port : 0);
    await new Promise((resolve) => server.close(resolve));
    return service;
  }

  open(): void {
    if (!this.#server.listening) this.#server.listen(this.port, HOST);
  }

  async end(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** The wall clock stands, the timers run: real sockets at a time of the test's choice. */
export function standingClock(nowMs: number): Clock {
  return { now: () => nowMs, after: systemClock.after };
}

/** Lets everything that is ready happen. */
export async function turns(count = 20): Promise<void> {
  for (let i = 0; i < count; i += 1) await new Promise((resolve) => setImmediate(resolve));
}
