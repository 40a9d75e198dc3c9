// An http.Agent whose connections come through an opening.

import { Agent, type ClientRequestArgs } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

type Done = (error: Error | null, stream: Duplex) => void;

/** Connections are kept and used again: each new one costs a knock. */
export function knockAgent(open: (port: number) => Promise<Socket>): Agent {
  return new KnockAgent(open);
}

class KnockAgent extends Agent {
  readonly #open: (port: number) => Promise<Socket>;

  constructor(open: (port: number) => Promise<Socket>) {
    super({ keepAlive: true });
    this.#open = open;
  }

  override createConnection(options: ClientRequestArgs, done?: Done): undefined {
    this.#connect(Number(options.port ?? 80)).then(
      (socket) => done?.(null, socket),
      // Node's own agent passes only the error; the type asks for a stream beside it.
      (error: unknown) => (done as ((error: unknown) => void) | undefined)?.(error),
    );
  }

  async #connect(port: number): Promise<Socket> {
    return this.#open(port);
  }
}
