// Bound UDP sockets as a packet source, for where raw capture is not possible. Each datagram is put behind a made-up
// IP and UDP header, in one buffer used over and over, so that the same decoder and schemes serve it. Never answers.

import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { isIPv4, isIPv6 } from 'node:net';
import { isLoopback, parseAddress } from '../address.ts';
import { KnockError, messageOf, printable, systemCode, type KnockErrorCode } from '../errors.ts';
import { LINK_RAW } from '../packet/link.ts';
import type { PacketSource, SourceContext } from './source.ts';
import { SyntheticUdp } from './synthetic.ts';

const MOST_PORTS = 256;

/** Which ports to bind, and on which address. */
export interface UdpSocketOptions {
  /** One UDP port, or an inclusive range of at most 256. */
  readonly port: number | readonly [low: number, high: number];
  /** The address to bind; without it every address of the host, IPv4 and IPv6. */
  readonly address?: string;
}

/**
 * UDP datagrams to `port` as packets: no pcap, no root for ports above 1023, and no answer to anyone. The port is
 * visible as one that swallows datagrams; a capture hides better. Datagrams of more than 2048 bytes are passed over.
 *
 * `open()` rejects with `ERR_CAPTURE_PERMISSION` or `ERR_CAPTURE`, with nothing left bound.
 *
 * @throws RangeError for a port or range that cannot be, TypeError for an address that is none
 */
export function udpSocket(options: UdpSocketOptions): PacketSource {
  const [low, high] = typeof options.port === 'number' ? [options.port, options.port] : options.port;
  const text = low === high ? String(low) : `${String(low)}-${String(high)}`;
  if (!isPort(low) || !isPort(high) || low > high) {
    throw new RangeError(`port must be 1..65535, or such a range from low to high, got ${text}`);
  }
  if (high - low >= MOST_PORTS) {
    throw new RangeError(`port must be a range of at most ${String(MOST_PORTS)} ports, got ${text}`);
  }
  if (options.address !== undefined && !isIPv4(options.address) && !isIPv6(options.address)) {
    throw new TypeError(`address must be an IPv4 or IPv6 address, got ${printable(options.address)}`);
  }
  return new SocketSource(`udp socket ${text}`, low, high, options.address);
}

function isPort(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= 65_535;
}

class SocketSource implements PacketSource {
  readonly name: string;
  readonly loopback: boolean;
  readonly checksDestination = false;
  readonly #low: number;
  readonly #high: number;
  readonly #address: string | undefined;
  #sockets: Socket[] = [];
  #opened = false;
  #closed = false;

  constructor(name: string, low: number, high: number, address: string | undefined) {
    this.name = name;
    this.#low = low;
    this.#high = high;
    this.#address = address;
    const bound = address === undefined ? null : parseAddress(address);
    this.loopback = bound !== null && isLoopback(bound);
  }

  async open(context: SourceContext): Promise<void> {
    if (this.#opened || this.#closed) {
      throw new KnockError('ERR_CAPTURE', `${this.name}: opened a second time (make a new source)`);
    }
    this.#opened = true;
    // close() may be called while a port is being bound.
    const closed = (): boolean => this.#closed;
    try {
      let address = this.#address ?? '::';
      for (let port = this.#low; port <= this.#high && !closed(); port += 1) {
        address = await this.#bind(port, address);
      }
    } catch (error) {
      await this.#release();
      throw error;
    }
    if (closed()) {
      await this.#release();
      throw new KnockError('ERR_CAPTURE', `${this.name}: closed while it was being opened`);
    }
    this.#sockets.forEach((socket) => {
      this.#deliver(socket, context);
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#release();
  }

  /** Binds one port; returns the address it was bound to, which is IPv4's when the host has no IPv6. */
  async #bind(port: number, address: string): Promise<string> {
    try {
      const socket = await bind(port, address);
      this.#sockets.push(socket);
      return address;
    } catch (error) {
      const noIpv6 = ['EAFNOSUPPORT', 'EADDRNOTAVAIL'].includes(systemCode(error));
      if (this.#address === undefined && address === '::' && noIpv6) return this.#bind(port, '0.0.0.0');
      throw bindError(port, address, error);
    }
  }

  #deliver(socket: Socket, { sink, clock }: SourceContext): void {
    const { address, port } = socket.address();
    const frame = new SyntheticUdp(address, port);
    socket.on('message', (message: Buffer, remote: RemoteInfo) => {
      if (this.#closed) return;
      const length = frame.fill(message, remote);
      if (length > 0) sink.frame(frame.bytes, 0, length, length, LINK_RAW, clock.now());
    });
    socket.on('error', (error) => {
      if (this.#closed) return;
      void this.close();
      sink.error(
        new KnockError('ERR_CAPTURE', `${this.name}: ${printable(error.message)}`, { cause: error }),
      );
    });
  }

  async #release(): Promise<void> {
    const sockets = this.#sockets;
    this.#sockets = [];
    await Promise.all(
      sockets.map(
        (socket) =>
          new Promise<void>((resolve) =>
            socket.close(() => {
              resolve();
            }),
          ),
      ),
    );
  }
}

function bind(port: number, address: string): Promise<Socket> {
  const socket = createSocket({ type: isIPv4(address) ? 'udp4' : 'udp6' });
  return new Promise((resolve, reject) => {
    const refuse = (error: Error): void => {
      socket.close();
      reject(error);
    };
    socket.once('error', refuse);
    socket.bind({ port, address, exclusive: true }, () => {
      socket.off('error', refuse);
      resolve(socket);
    });
  });
}

function bindError(port: number, address: string, cause: unknown): KnockError {
  const advice: Record<string, [KnockErrorCode, string]> = {
    EADDRINUSE: ['ERR_CAPTURE', 'in use by another program (choose another port, or stop it)'],
    EADDRNOTAVAIL: ['ERR_CAPTURE', 'not an address of this host (choose one that `ip address` lists)'],
    EACCES: ['ERR_CAPTURE_PERMISSION', 'no permission (ports below 1024 need root or CAP_NET_BIND_SERVICE)'],
    EPERM: ['ERR_CAPTURE_PERMISSION', 'no permission (a security policy forbids it)'],
  };
  const [code, why] = advice[systemCode(cause)] ?? ['ERR_CAPTURE', printable(messageOf(cause))];
  return new KnockError(code, `udp port ${String(port)} on ${address}: ${why}`, { cause });
}
