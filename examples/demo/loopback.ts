// The story where there can be no namespaces: the library in this process, on loopback, in front of an echo service.

import { writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { connect as connectTcp, createServer, type AddressInfo, type Server } from 'node:net';
import { join } from 'node:path';
import {
  createReplayFile,
  fileReplay,
  formatProfile,
  gate,
  isKnockError,
  KnockListener,
  oneTime,
  udpSocket,
  type PacketSource,
  type Profile,
} from '../../lib/index.ts';
import { OPEN_FOR_MS, play, type Stage } from './acts.ts';
import { EventQueue } from './events.ts';
import { nodeArgv, type Processes } from './processes.ts';
import { datagramOf, sendAgain, type Datagram } from './recording.ts';
import { expect, type Story } from './story.ts';

const HOST = '127.0.0.1';
const KNOCK_PORTS = 16;

interface Gateway {
  readonly listener: KnockListener;
  readonly server: Server;
  readonly port: number;
  readonly ports: readonly [number, number];
  /** Datagrams that reached the knock sockets. */
  readonly heard: Datagram[];
}

export async function tellLoopback(story: Story, processes: Processes, folder: string): Promise<void> {
  const events = new EventQueue();
  let gateway: Gateway | undefined;
  try {
    await story.step('An echo service, with portknock in front of it', async () => {
      gateway = await startGateway(folder, events);
      const { port, ports } = gateway;
      story.note(
        `The service is TCP port ${port} of ${HOST}; knocks go to its UDP ports ${ports.join(' to ')}.`,
      );
      return 'the listener runs, the gate is shut';
    });
    if (gateway === undefined) return;
    await play(story, stageOf(story, processes, gateway, events));
    await story.step('Goodbye', async () => {
      await close(gateway);
      expect(
        gateway?.server.listening === false && processes.count === 0,
        'nothing to be left',
        'something runs on',
      );
      return 'the listener has stopped, and the service with it';
    });
  } finally {
    await close(gateway);
  }
}

/** Takes the first free ports: nobody can reserve sixteen in a row beforehand. */
async function startGateway(folder: string, events: EventQueue): Promise<Gateway> {
  const replay = join(folder, 'replay');
  await createReplayFile(replay);
  const secret = randomBytes(32);
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
  server.listen(0, HOST);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  for (let low = 40_000; ; low += KNOCK_PORTS) {
    const ports = [low, low + KNOCK_PORTS - 1] as const;
    const heard: Datagram[] = [];
    const listener = new KnockListener({
      source: overheard(udpSocket({ port: ports, address: HOST }), heard),
      schemes: [oneTime({ clients: { laptop: { secret, ports } } })],
      driver: gate(server),
      services: { echo: { port, openForMs: OPEN_FOR_MS } },
      clients: [{ name: 'laptop', services: ['echo'] }],
      replay: fileReplay(replay),
    });
    report(listener, events);
    try {
      await listener.start();
    } catch (error) {
      if (isKnockError(error) && error.code === 'ERR_CAPTURE' && low < 60_000) continue;
      server.close();
      throw error;
    }
    await writeFile(join(folder, 'laptop.knock'), formatProfile(profileOf(secret, port, ports)), {
      mode: 0o600,
    });
    return { listener, server, port, ports, heard };
  }
}

function profileOf(secret: Uint8Array, port: number, ports: readonly [number, number]): Profile {
  const common = { host: HOST, client: 'laptop', services: { echo: port } };
  return {
    ...common,
    scheme: 'one-time',
    secret,
    ports,
    digest: 'sha256',
    knocks: 5,
    step: 10,
    carrier: 'udp',
  };
}

/** The source, with somebody who writes down what comes. */
function overheard(source: PacketSource, heard: Datagram[]): PacketSource {
  const { name, loopback, checksDestination } = source;
  return {
    ...{ name, loopback, checksDestination },
    open: (context) => {
      const { sink } = context;
      const frame: typeof sink.frame = (...args) => {
        const datagram = datagramOf(...args);
        if (datagram !== null) heard.push(datagram);
        sink.frame(...args);
      };
      return source.open({ ...context, sink: { ...sink, frame } });
    },
    close: () => source.close(),
  };
}

function report(listener: KnockListener, events: EventQueue): void {
  const push = (event: string, fields: object): void => {
    events.push({ ...fields, event, time: new Date().toISOString() });
  };
  listener.on('grant', ({ grant }) => {
    push('grant', grant);
  });
  listener.on('close', ({ reason }) => {
    push('close', { reason });
  });
  listener.on('reject', (reject) => {
    push('reject', reject);
  });
  listener.on('error', ({ message }) => {
    push('error', { message });
  });
}

function stageOf(story: Story, processes: Processes, { port, heard }: Gateway, events: EventQueue): Stage {
  const knock = async (): Promise<void> => {
    story.command('portknock send -p laptop.knock echo');
    story.quote(await processes.must(nodeArgv('cli/portknock.ts', 'send', '-p', 'laptop.knock', 'echo')));
  };
  return {
    service: 'echo',
    gateway: 'listener',
    events,
    knock,
    async connect() {
      story.note(`Connecting to ${HOST} port ${port} and saying hello:`);
      const answer = await exchange(port);
      story.quote(answer);
      return answer === 'hello';
    },
    async knockRecorded() {
      heard.length = 0;
      await knock();
      return heard.length;
    },
    async replay() {
      const recorded = [...heard];
      await sendAgain(recorded);
      story.quote(`${recorded.length} datagrams sent from ${HOST} port ${recorded[0]?.from.port ?? '?'}`);
    },
  };
}

/** Says hello and tells what came back. */
function exchange(port: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = connectTcp(port, HOST, () => socket.write('hello\n'));
    socket.once('data', (chunk: Buffer) => {
      resolve(chunk.toString().trim());
      socket.destroy();
    });
    socket.once('error', (error) => {
      resolve(error.message);
    });
    socket.once('close', () => {
      resolve('closed without a word');
    });
  });
}

async function close(gateway: Gateway | undefined): Promise<void> {
  if (gateway === undefined) return;
  await gateway.listener.stop();
  if (!gateway.server.listening) return;
  gateway.server.close();
  await once(gateway.server, 'close');
}
