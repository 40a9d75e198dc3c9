// A gateway on loopback for the client's commands: knocks on a bound UDP port, and a TCP server behind a gate.

import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { udpSocket } from '../../lib/capture/socket.ts';
import { gate } from '../../lib/firewall/gate.ts';
import { formatProfile, type SpaProfile } from '../../lib/knocker.ts';
import { KnockListener } from '../../lib/listener/listener.ts';
import type { Reject } from '../../lib/policy/throttle.ts';
import { spa } from '../../lib/scheme/spa.ts';
import type { SpaClient } from '../../lib/scheme/spa-clients.ts';
import { freePort } from '../support/ports.ts';

const HOST = '127.0.0.1';
const ACCESS_KEY = Buffer.alloc(32, 1);

/** A gateway with one client, `alice`. */
export class LoopbackGateway {
  readonly port: number;
  readonly rejects: Reject[] = [];
  /** How many knocks were accepted. */
  grants = 0;
  readonly #knockPort: number;
  readonly #listener: KnockListener;
  readonly #server: Server;

  private constructor(server: Server, port: number, client: SpaClient, knockPort: number) {
    this.port = port;
    this.#knockPort = knockPort;
    this.#server = server;
    this.#listener = new KnockListener({
      source: udpSocket({ port: knockPort, address: HOST }),
      schemes: [
        spa({
          gateway: 'gw.example',
          accessKeys: [ACCESS_KEY],
          port: knockPort,
          services: ['echo'],
          clients: { alice: client },
        }),
      ],
      driver: gate(server),
      services: { echo: { port } },
      clients: [{ name: 'alice', services: ['echo'] }],
    });
    this.#listener.on('warning', () => undefined);
    this.#listener.on('reject', (reject) => this.rejects.push(reject));
    this.#listener.on('grant', () => (this.grants += 1));
  }

  /** `serve` gets the connections that are let in. */
  static async start(client: SpaClient, serve: (socket: Socket) => void): Promise<LoopbackGateway> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => undefined);
      serve(socket);
    }).listen(0, HOST);
    await once(server, 'listening');
    const place = server.address();
    const port = typeof place === 'object' && place !== null ? place.port : 0;
    const gateway = new LoopbackGateway(server, port, client, await freePort());
    await gateway.#listener.start();
    return gateway;
  }

  /** Writes the client's profile. */
  async writeProfile(path: string, key: SpaProfile['key'], more: Partial<SpaProfile> = {}): Promise<void> {
    const profile: SpaProfile = {
      scheme: 'spa',
      host: HOST,
      client: 'alice',
      services: { echo: this.port },
      gateway: 'gw.example',
      port: this.#knockPort,
      accessKey: ACCESS_KEY,
      key,
      bind: 'observed',
      ...more,
    };
    await writeFile(path, formatProfile(profile), { mode: 0o600 });
  }

  /** Resolves when something was rejected. */
  async rejected(): Promise<Reject> {
    const [first] = this.rejects;
    return first ?? ((await once(this.#listener, 'reject')) as [Reject])[0];
  }

  async stop(): Promise<void> {
    await this.#listener.stop();
    this.#server.close();
  }
}
