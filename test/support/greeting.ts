// A TCP server that greets whoever connects, and visitors for it: was there a greeting, and does the line still work?

import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** What came of one connection. */
export interface Visit {
  /** False when the connection ended before a byte came. */
  readonly greeted: boolean;
  /** Whether the end was a reset. */
  readonly reset: boolean;
  /** Sends a line and tells whether the server echoes it. */
  echoes(): Promise<boolean>;
}

export class GreetingServer {
  readonly server: Server;
  /** Connections that its handler has seen. */
  seen = 0;
  readonly #sockets = new Set<Socket>();

  private constructor() {
    this.server = createServer((socket) => {
      this.seen += 1;
      this.#keep(socket);
      socket.write('hello\n');
      socket.pipe(socket);
    });
  }

  static async listen(address: string): Promise<GreetingServer> {
    const greeter = new GreetingServer();
    greeter.server.listen(0, address);
    await once(greeter.server, 'listening');
    return greeter;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async visit(source: string, host = source.includes(':') ? '::1' : '127.0.0.1'): Promise<Visit> {
    const socket = connect({ host, port: this.port, localAddress: source });
    this.#keep(socket);
    let reset = false;
    socket.on('error', (error: NodeJS.ErrnoException) => {
      reset = error.code === 'ECONNRESET';
    });
    // Whoever is not let in may have words refused, but must not have been heard.
    socket.once('connect', () => socket.write('first words\n'));
    const greeted = await Promise.race([
      once(socket, 'data').then(
        () => true,
        () => false,
      ),
      once(socket, 'close').then(
        () => false,
        () => false,
      ),
    ]);
    if (!greeted && !socket.closed) await once(socket, 'close');
    const echoes = async (): Promise<boolean> => {
      socket.write('still here\n');
      let heard = '';
      socket.on('data', (chunk: Buffer) => (heard += chunk.toString()));
      while (!heard.includes('still here')) {
        if (socket.destroyed) return false;
        await Promise.race([once(socket, 'data'), once(socket, 'close')]);
      }
      return true;
    };
    return { greeted, reset, echoes };
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
  }
}
