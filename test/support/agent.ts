// A process inside a namespace that does for a test what a client would: sends datagrams, connects, talks.
// Started by startAgent(); speaks JSON over Node's channel, which survives nsenter.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect as connectTcp, createServer, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { isKnockError, KnockError, messageOf, type KnockErrorCode } from '../../lib/errors.ts';
import type { FirewallDriver, Grant, Opening, Service } from '../../lib/firewall/driver.ts';
import { iptables } from '../../lib/firewall/iptables.ts';
import { Knocker, parseProfile } from '../../lib/knocker.ts';
import type { Namespace } from './netns.ts';

export interface Datagram {
  readonly host: string;
  readonly port: number;
  /** base64 */
  readonly payload: string;
}

export interface ConnectRequest {
  readonly host: string;
  readonly port: number;
  readonly source?: string;
  readonly localPort?: number;
  /** {@link PATIENCE_MS} unless given: to be given where nothing is to come. */
  readonly timeoutMs?: number;
}

/** `talks`: an echo came back through it. */
export type ConnectResult = {
  readonly outcome: 'talks' | 'mute' | 'refused' | 'timeout';
  readonly id: number;
  readonly ms: number;
};

/** For what takes a few milliseconds on a quiet machine. */
const PATIENCE_MS = 10_000;

interface Calls {
  datagrams(request: { readonly packets: readonly Datagram[]; readonly source?: string }): Promise<null>;
  /** Connects and sends a line; the server under test echoes. The socket stays open until `hangUp`. */
  connect(request: ConnectRequest): Promise<ConnectResult>;
  /** Sends a line through an open connection; whether the echo came back within the time. */
  talk(request: { readonly id: number; readonly timeoutMs?: number }): Promise<boolean>;
  /** Ends it with a FIN, or with a reset. */
  hangUp(request: { readonly id: number; readonly reset?: boolean }): Promise<null>;
  /** An echo server; it closes nothing by itself. */
  echo(request: { readonly port: number }): Promise<null>;
  /** The same for datagrams. */
  echoDatagrams(request: { readonly port: number }): Promise<null>;
  /** Sends a datagram from a new port; whether the echo came back within the time. */
  ask(request: ConnectRequest): Promise<boolean>;
  /** Resets every connection of the echo server. */
  reset(request: null): Promise<number>;
  knock(request: { readonly profile: string; readonly service?: string }): Promise<number>;
  /** Sets up the iptables driver in this process, without a listener. */
  setup(request: {
    readonly backend: 'legacy' | 'nft';
    readonly services: readonly Service[];
    readonly protect?: boolean | 'drop' | 'reject';
  }): Promise<null>;
  open(request: Grant): Promise<null>;
  close(request: Grant): Promise<null>;
  list(request: null): Promise<readonly Opening[]>;
  teardown(request: null): Promise<null>;
}

/** A running agent: every call is a promise of its answer. */
export type Agent = Calls & { stop(): Promise<void> };

export async function startAgent(space: Namespace): Promise<Agent> {
  const child = space.spawn(process.execPath, ['--import', 'tsx', fileURLToPath(import.meta.url), 'agent'], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  let last = 0;
  child.on('message', (answer: { id: number; value?: unknown; error?: string; code?: KnockErrorCode }) => {
    const call = waiting.get(answer.id);
    waiting.delete(answer.id);
    if (answer.error === undefined) call?.resolve(answer.value);
    else
      call?.reject(
        answer.code === undefined ? new Error(answer.error) : new KnockError(answer.code, answer.error),
      );
  });
  child.once('exit', () => {
    for (const { reject } of waiting.values()) reject(new Error('agent ended'));
  });
  await once(child, 'message');
  const ask = (name: string, request: unknown): Promise<unknown> =>
    new Promise((resolve, reject) => {
      last += 1;
      waiting.set(last, { resolve, reject });
      child.send({ id: last, name, request });
    });
  const agent: Record<string, unknown> = {
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.kill('SIGKILL');
      await gone;
    },
  };
  for (const name of [
    'datagrams',
    'echoDatagrams',
    'ask',
    'connect',
    'talk',
    'hangUp',
    'echo',
    'reset',
    'knock',
    'setup',
    'open',
    'close',
    'list',
    'teardown',
  ]) {
    agent[name] = (request: unknown) => ask(name, request);
  }
  return agent as unknown as Agent;
}

const sockets = new Map<number, Socket>();
const served = new Set<Socket>();
let lastSocket = 0;
const drivers = new Map<string, FirewallDriver>();
let driver: FirewallDriver = iptables();

const calls: Calls = {
  async datagrams({ packets, source }) {
    const socket = createSocket({ type: packets[0]?.host.includes(':') === true ? 'udp6' : 'udp4' });
    if (source !== undefined) {
      socket.bind(0, source);
      await once(socket, 'listening');
    }
    for (const { host, port, payload } of packets) {
      await new Promise<void>((resolve, reject) => {
        socket.send(Buffer.from(payload, 'base64'), port, host, (error) => {
          if (error === null) resolve();
          else reject(error);
        });
      });
    }
    socket.close();
    return null;
  },
  async connect({ host, port, source, localPort, timeoutMs = PATIENCE_MS }) {
    const began = performance.now();
    const from = { ...(source && { localAddress: source }), ...(localPort && { localPort }) };
    const socket = connectTcp({ host, port, ...from });
    lastSocket += 1;
    const id = lastSocket;
    sockets.set(id, socket);
    const outcome = await new Promise<ConnectResult['outcome']>((resolve) => {
      let connected = false;
      setTimeout(() => {
        resolve(connected ? 'mute' : 'timeout');
      }, timeoutMs).unref();
      socket.once('connect', () => {
        connected = true;
        socket.write('hello\n');
      });
      socket.once('data', () => {
        resolve('talks');
      });
      socket.on('error', () => {
        resolve('refused');
      });
      socket.once('close', () => {
        resolve('refused');
      });
    });
    if (outcome !== 'talks') socket.destroy();
    return { outcome, id, ms: performance.now() - began };
  },
  async talk({ id, timeoutMs = PATIENCE_MS }) {
    const socket = sockets.get(id);
    if (socket === undefined || socket.destroyed) return false;
    socket.write('again\n');
    return new Promise((resolve) => {
      setTimeout(() => {
        resolve(false);
      }, timeoutMs).unref();
      socket.once('data', () => {
        resolve(true);
      });
    });
  },
  hangUp({ id, reset = false }) {
    sockets.get(id)?.[reset ? 'resetAndDestroy' : 'destroy']();
    sockets.delete(id);
    return Promise.resolve(null);
  },
  async echo({ port }) {
    const server = createServer((socket) => {
      served.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => served.delete(socket));
      socket.pipe(socket);
    });
    server.listen(port, '::');
    await once(server, 'listening');
    return null;
  },
  async echoDatagrams({ port }) {
    const socket = createSocket('udp6');
    socket.on('message', (message, from) => {
      socket.send(message, from.port, from.address);
    });
    socket.bind(port, '::');
    await once(socket, 'listening');
    return null;
  },
  async ask({ host, port, source, timeoutMs = 300 }) {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    socket.on('error', () => undefined);
    socket.bind(0, source);
    await once(socket, 'listening');
    const answer = once(socket, 'message', { signal: AbortSignal.timeout(timeoutMs) });
    socket.send('hello', port, host);
    const came = await answer.then(
      () => true,
      () => false,
    );
    socket.close();
    return came;
  },
  reset() {
    const count = served.size;
    for (const socket of served) socket.resetAndDestroy();
    return Promise.resolve(count);
  },
  async knock({ profile, service }) {
    const { packets } = await new Knocker(parseProfile(profile)).knock(service);
    return packets;
  },
  async setup({ backend, services, protect = true }) {
    const kind = `${backend} ${String(protect)}`;
    driver = drivers.get(kind) ?? iptables({ backend, protect });
    drivers.set(kind, driver);
    await driver.setup(services, { warning: () => undefined });
    return null;
  },
  open: (grant) => driver.open(grant).then(() => null),
  close: (grant) => driver.close(grant).then(() => null),
  list: () => driver.list(),
  teardown: () => driver.teardown().then(() => null),
};

if (process.argv[2] === 'agent' && process.send !== undefined) {
  process.on('disconnect', () => process.exit(0));
  process.on('message', ({ id, name, request }: { id: number; name: keyof Calls; request: never }) => {
    Promise.resolve(calls[name](request)).then(
      (value) => process.send?.({ id, value }),
      (error: unknown) =>
        process.send?.({ id, error: messageOf(error), code: isKnockError(error) ? error.code : undefined }),
    );
  });
  process.send('ready');
}
