// A client of scheme spa whose datagrams a test can keep, repeat and send from where it likes.

import type { Bind } from '../../lib/scheme/spa-format.ts';
import { accessKeyOf, sharedKeyOf } from '../../lib/scheme/spa-keys.ts';
import { sealSpa } from '../../lib/scheme/spa-seal.ts';
import type { Agent, Datagram } from './agent.ts';

export interface SpaClientOptions {
  readonly agent: Agent;
  readonly host: string;
  /** 32 bytes, as all secrets here. */
  readonly accessKey: Uint8Array;
  readonly secret: Uint8Array;
  readonly gateway?: string;
  readonly port?: number;
}

export class SpaClient {
  readonly #options: SpaClientOptions;
  #last = 0n;

  constructor(options: SpaClientOptions) {
    this.#options = options;
  }

  /** A fresh knock, not sent yet. */
  async fresh(services: readonly string[] = ['ssh'], bind: Bind = 'observed'): Promise<Datagram> {
    const { host, port = 62201, gateway = 'gw.example', accessKey, secret } = this.#options;
    const ofClock = BigInt(Date.now()) << 16n;
    this.#last = this.#last < ofClock ? ofClock : this.#last + 1n;
    const payload = await sealSpa({
      accessKey: accessKeyOf(accessKey),
      gateway,
      sender: { suite: 1, key: sharedKeyOf(secret) },
      counter: this.#last,
      services,
      bind,
      claim: null,
      ttlSeconds: 0,
      close: false,
    });
    return { host, port, payload: payload.toString('base64') };
  }

  /** Sends a fresh knock, which is then the result. */
  async knock(): Promise<Datagram> {
    const datagram = await this.fresh();
    await this.send(datagram);
    return datagram;
  }

  async send(datagram: Datagram): Promise<void> {
    await this.#options.agent.datagrams({ packets: [datagram] });
  }
}
