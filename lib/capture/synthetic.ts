// A datagram that a socket received, as the raw IP packet that it must have been: as much of the headers as the
// decoder looks at, no checksums.

import type { RemoteInfo } from 'node:dgram';
import { parseAddress, type Address } from '../address.ts';

const MOST_PAYLOAD = 2048;
const V4_BYTES = 20;
const V6_BYTES = 40;
const UDP_BYTES = 8;
const UDP = 17;
const MAPPED = '::ffff:';

export class SyntheticUdp {
  /** Holds the packet until the next fill(). */
  readonly bytes = Buffer.alloc(V6_BYTES + UDP_BYTES + MOST_PAYLOAD);
  readonly #local: Address | null;
  readonly #port: number;

  /** For datagrams to `address` (which may be the unspecified one) and `port`. */
  constructor(address: string, port: number) {
    this.#local = addressOf(address);
    this.#port = port;
  }

  /** Puts `message` from `remote` into `bytes`; returns the packet's length, or 0 when it does not fit. */
  fill(message: Uint8Array, remote: RemoteInfo): number {
    const source = addressOf(remote.address);
    if (source === null || message.length > MOST_PAYLOAD) return 0;
    const at = source.family === 4 ? this.#v4(source, message.length) : this.#v6(source, message.length);
    this.bytes.writeUInt16BE(remote.port, at);
    this.bytes.writeUInt16BE(this.#port, at + 2);
    this.bytes.writeUInt16BE(UDP_BYTES + message.length, at + 4);
    this.bytes.set(message, at + UDP_BYTES);
    return at + UDP_BYTES + message.length;
  }

  #v4(source: Address, payload: number): number {
    this.bytes.fill(0, 0, V4_BYTES + UDP_BYTES);
    this.bytes[0] = 0x45;
    this.bytes.writeUInt16BE(V4_BYTES + UDP_BYTES + payload, 2);
    this.bytes[9] = UDP;
    this.bytes.writeInt32BE(source.words[3], 12);
    // A socket for every address does not tell which one a datagram came to.
    this.bytes.writeInt32BE(this.#local?.family === 4 ? this.#local.words[3] : 0, 16);
    return V4_BYTES;
  }

  #v6(source: Address, payload: number): number {
    this.bytes.fill(0, 0, V6_BYTES + UDP_BYTES);
    this.bytes[0] = 0x60;
    this.bytes.writeUInt16BE(UDP_BYTES + payload, 4);
    this.bytes[6] = UDP;
    source.words.forEach((word, i) => this.bytes.writeInt32BE(word, 8 + 4 * i));
    if (this.#local?.family === 6)
      this.#local.words.forEach((word, i) => this.bytes.writeInt32BE(word, 24 + 4 * i));
    return V6_BYTES;
  }
}

/** A dual-stack socket names IPv4 peers as mapped IPv6, and link-local ones with their interface. */
function addressOf(text: string): Address | null {
  const plain = text.split('%', 1)[0] ?? '';
  const dotted = plain.startsWith(MAPPED) && plain.includes('.') ? plain.slice(MAPPED.length) : plain;
  return parseAddress(dotted);
}
