// The other side of a knock on loopback: bound UDP ports that write down what comes, TCP services that open and close.

import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import type { Clock } from '../../lib/clock.ts';
import { systemClock } from '../../lib/clock.ts';
import type { OneTimeProfile } from '../../lib/knocker/profile.ts';
import { freePort } from '../support/ports.ts';

export const HOST = '127.0.0.1';
const PATIENCE_MS = 20_000;

/** Its ports are those that neither the kernel nor freePort() hands out: nobody else has them, or hears what is sent there. */
export const PROFILE: OneTimeProfile = {
  host: HOST,
  client: 'field',
  scheme: 'one-time',
  secret: Buffer.alloc(32, 7),
  digest: 'sha256',
  knocks: 5,
  ports: [10000, 19999],
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
    await bound(socket, port, address);
  }
  return ear;
}

/** A port that is given may be another process's for a moment, as that which it sends a datagram from. */
async function bound(socket: DatagramSocket, port: number, address: string): Promise<void> {
  for (const deadline = performance.now() + PATIENCE_MS; ;) {
    socket.bind(port, address);
    try {
      await once(socket, 'listening');
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || performance.now() > deadline) throw error;
      await turns();
    }
  }
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
    // One that the kernel gave away could be given to somebody else while it is closed.
    const port = await freePort();
    const server = createServer(onConnection).listen(port, address);
    await once(server, 'listening');
    const service = new Service(server, port);
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

/**
 * Like {@link standingClock}, but a time limit of `limitMs` begins only when `first` has come, and what came of it has been
 * taken note of: a machine that stands still must not let it run out before there was anything to see.
 */
export function limitAfter(first: () => Promise<unknown>, limitMs: number, nowMs: number): Clock {
  const clock = standingClock(nowMs);
  const after: Clock['after'] = (ms, run) => {
    if (ms !== limitMs) return clock.after(ms, run);
    const limit = { isOff: false, cancel: (): void => undefined };
    void first()
      .then(() => turns())
      .then(() => {
        if (!limit.isOff) limit.cancel = clock.after(ms, run);
      });
    return () => {
      limit.isOff = true;
      limit.cancel();
    };
  };
  return { now: clock.now, after };
}

/** Waits for what must come; mocha's own limit is the limit. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await turns(1);
}

/** Lets everything that is ready happen. */
export async function turns(count = 20): Promise<void> {
  for (let i = 0; i < count; i += 1) await new Promise((resolve) => setImmediate(resolve));
}
