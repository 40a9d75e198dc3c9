// A process inside a namespace that is a whole SPA gateway out of the library's parts: live capture, iptables, and a
// service that greets whoever gets in, as sshd does. Started by startSpaGateway(); its events come over Node's channel.

import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { liveCapture } from '../../lib/capture/live.ts';
import { iptables } from '../../lib/firewall/iptables.ts';
import { KnockListener } from '../../lib/listener/listener.ts';
import { memoryReplay } from '../../lib/replay/memory.ts';
import { spa } from '../../lib/scheme/spa.ts';
import type { SpaClient } from '../../lib/scheme/spa-clients.ts';
import type { Namespace } from './netns.ts';

/** The name that knocks must be meant for. */
export const GATEWAY_NAME = 'gw.example';
export const ACCESS_KEY = Buffer.alloc(32, 3);
export const GREETING = 'SSH-2.0-greeter\r\n';

export interface SpaGatewayOptions {
  /** The interface to listen on. */
  readonly device: string;
  /** The protected port of service `ssh`. */
  readonly port: number;
  readonly openForMs: number;
  /** Secrets as base64, or public key lines. */
  readonly clients: Readonly<Record<string, { readonly secret: string } | { readonly publicKey: string }>>;
}

export interface SpaGateway {
  /** How many events of each kind there were: `grant`, `close used`, `reject replayed`... */
  readonly counts: ReadonlyMap<string, number>;
  stop(): Promise<void>;
}

/** Resolves when the port is closed and the capture runs. */
export async function startSpaGateway(space: Namespace, options: SpaGatewayOptions): Promise<SpaGateway> {
  const self = fileURLToPath(import.meta.url);
  const child = space.spawn(process.execPath, ['--import', 'tsx', self, JSON.stringify(options)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const counts = new Map<string, number>();
  const ready = new Promise<void>((resolve, reject) => {
    child.on('message', (event: string) => {
      if (event === 'ready') resolve();
      counts.set(event, (counts.get(event) ?? 0) + 1);
    });
    child.once('exit', () => {
      reject(new Error('the gateway ended'));
    });
  });
  await ready;
  return {
    counts,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, 'exit');
      child.disconnect();
      await gone;
    },
  };
}

async function run({ device, port, openForMs, clients }: SpaGatewayOptions): Promise<void> {
  const greeter = createServer((socket) => {
    socket.on('error', () => undefined).resume();
    socket.write(GREETING);
  }).listen(port, '::');
  await once(greeter, 'listening');
  const names = Object.keys(clients);
  const listener = new KnockListener({
    source: liveCapture({ interface: device }),
    schemes: [
      spa({
        gateway: GATEWAY_NAME,
        accessKeys: [ACCESS_KEY],
        services: ['ssh'],
        clients: Object.fromEntries(names.map((name) => [name, clientOf(clients[name])])),
      }),
    ],
    driver: iptables({ protect: 'drop' }),
    services: { ssh: { port: (greeter.address() as AddressInfo).port, openForMs } },
    clients: names.map((name) => ({ name, services: ['ssh'] })),
    replay: memoryReplay(),
  });
  const tell = (event: string): void => {
    if (process.connected) process.send?.(event);
  };
  listener.on('grant', () => {
    tell('grant');
  });
  listener.on('close', ({ reason }) => {
    tell(`close ${reason}`);
  });
  listener.on('reject', ({ reason }) => {
    tell(`reject ${reason}`);
  });
  listener.on('error', (error) => {
    tell(`error ${error.message}`);
  });
  await listener.start();
  process.once('disconnect', () => {
    void listener.stop().then(() => process.exit(0));
  });
  tell('ready');
}

function clientOf(client: { readonly secret?: string; readonly publicKey?: string } = {}): SpaClient {
  const { secret = '', publicKey } = client;
  return publicKey === undefined ? { secret: Buffer.from(secret, 'base64') } : { publicKey };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await run(JSON.parse(process.argv[2] ?? '') as SpaGatewayOptions);
}
