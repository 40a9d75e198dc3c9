// Builds frames for tests and benchmarks: any link layer, VLAN tags, IPv4 with options, IPv6 with extension
// headers, UDP and TCP, checksums filled in. What is not said gets a sound default; lies are made with `patch`.

import { parseAddress, type Address } from '../../lib/address.ts';
import {
  LINK_ETHERNET,
  LINK_IPV4,
  LINK_IPV6,
  LINK_LINUX_SLL,
  LINK_LINUX_SLL2,
  LINK_LOOP,
  LINK_NULL,
  LINK_RAW,
} from '../../lib/packet/link.ts';
import { SYN, TCP, UDP } from '../../lib/packet/view.ts';

export interface FrameOptions {
  /** A LINK_ number; Ethernet unless given. */
  readonly link?: number;
  /** VLAN tags, outermost first: an id (0x8100), or the tag's EtherType as well. */
  readonly vlan?: readonly (number | { readonly type: number; readonly id: number })[];
  /** The address family number of a NULL or LOOP link. */
  readonly linkFamily?: number;
  /** Addresses as text; the source tells IPv4 from IPv6. `::ffff:a.b.c.d` makes an IPv6 packet. */
  readonly src?: string;
  readonly dst?: string;
  /** 'udp' unless given; a number makes a packet of that protocol with the payload alone. */
  readonly protocol?: 'udp' | 'tcp' | number;
  readonly srcPort?: number;
  readonly dstPort?: number;
  /** TCP flags; SYN unless given. */
  readonly flags?: number;
  readonly seq?: number;
  /** TCP options, IPv4 options: padded to four bytes. */
  readonly tcpOptions?: Uint8Array;
  readonly ipOptions?: Uint8Array;
  /** IPv6 extension headers, in order. */
  readonly extensions?: readonly Extension[];
  /** IPv4 fragment field (flags and offset). */
  readonly fragment?: number;
  readonly ttl?: number;
  readonly payload?: Uint8Array | string;
  /** Bytes after the IP packet, as short Ethernet frames have. */
  readonly trailer?: number;
  /** Changes the finished IP packet. */
  readonly patch?: (ip: Buffer) => void;
}

/** An IPv6 extension header: its protocol number and what follows its first two bytes (padded to eight). */
export interface Extension {
  readonly kind: number;
  readonly body?: Uint8Array;
}

const V4_BYTES = 20;
const V6_BYTES = 40;

/** The whole frame as it stands on the wire. */
export function frame(options: FrameOptions = {}): Buffer {
  const ip = ipPacket(options);
  const header = linkHeader(options, (ip[0] ?? 0) >> 4 === 6);
  return Buffer.concat([header, ip, Buffer.alloc(options.trailer ?? 0)]);
}

/** The IP packet alone. */
export function ipPacket(options: FrameOptions = {}): Buffer {
  const src = words(options.src ?? '192.0.2.7');
  const dst = words(options.dst ?? (src.length === 4 ? '198.51.100.1' : '2001:db8::1'));
  if (src.length !== dst.length) throw new RangeError('src and dst are of different families');
  const transport = transportOf(options, src, dst);
  const ip = src.length === 4 ? v4(options, src, dst, transport) : v6(options, src, dst, transport);
  options.patch?.(ip);
  return ip;
}

function linkHeader(options: FrameOptions, isV6: boolean): Buffer {
  const link = options.link ?? LINK_ETHERNET;
  const types = [...(options.vlan ?? []).map(tagOf), { type: isV6 ? 0x86dd : 0x0800, id: 0 }];
  const first = u16(types[0]?.type ?? 0);
  const tags = types.slice(1).flatMap(({ type }, i) => [u16(types[i]?.id ?? 0), u16(type)]);
  const family = options.linkFamily ?? (isV6 ? 30 : 2);
  const word = Buffer.alloc(4);
  switch (link) {
    case LINK_ETHERNET:
      return Buffer.concat([Buffer.from('0200000000010200000000ff', 'hex'), first, ...tags]);
    case LINK_LINUX_SLL:
      return Buffer.concat([Buffer.from('0000000100060200000000ff0000', 'hex'), first, ...tags]);
    case LINK_LINUX_SLL2:
      return Buffer.concat([first, Buffer.from('000000000002000100060200000000ff0000', 'hex'), ...tags]);
    case LINK_NULL:
      word.writeUInt32LE(family);
      return word;
    case LINK_LOOP:
      word.writeUInt32BE(family);
      return word;
    case LINK_RAW:
    case LINK_IPV4:
    case LINK_IPV6:
      return Buffer.alloc(0);
    default:
      throw new RangeError(`no builder for link type ${String(link)}`);
  }
}

function tagOf(tag: number | { type: number; id: number }): { type: number; id: number } {
  return typeof tag === 'number' ? { type: 0x8100, id: tag } : tag;
}

function v4(options: FrameOptions, src: Buffer, dst: Buffer, transport: Transport): Buffer {
  const extra = padded(options.ipOptions ?? new Uint8Array(), 4);
  const header = Buffer.concat([Buffer.alloc(V4_BYTES), extra]);
  header[0] = 0x40 | (header.length >> 2);
  header.writeUInt16BE(header.length + transport.bytes.length, 2);
  header.writeUInt16BE(options.fragment ?? 0x4000, 6);
  header[8] = options.ttl ?? 64;
  header[9] = transport.protocol;
  src.copy(header, 12);
  dst.copy(header, 16);
  header.writeUInt16BE(checksum([header]), 10);
  return Buffer.concat([header, transport.bytes]);
}

function v6(options: FrameOptions, src: Buffer, dst: Buffer, transport: Transport): Buffer {
  const extensions = options.extensions ?? [];
  const chain = extensions.map(({ body = new Uint8Array() }, i) => {
    const bytes = padded(Buffer.concat([Buffer.alloc(2), body]), 8);
    bytes[0] = extensions[i + 1]?.kind ?? transport.protocol;
    bytes[1] = bytes.length / 8 - 1;
    return bytes;
  });
  const carried = Buffer.concat([...chain, transport.bytes]);
  const header = Buffer.alloc(V6_BYTES);
  header[0] = 0x60;
  header.writeUInt16BE(carried.length, 4);
  header[6] = extensions[0]?.kind ?? transport.protocol;
  header[7] = options.ttl ?? 64;
  src.copy(header, 8);
  dst.copy(header, 24);
  return Buffer.concat([header, carried]);
}

interface Transport {
  readonly protocol: number;
  readonly bytes: Buffer;
}

function transportOf(options: FrameOptions, src: Buffer, dst: Buffer): Transport {
  const payload = Buffer.from(options.payload ?? '');
  const protocol = options.protocol ?? 'udp';
  if (typeof protocol === 'number') return { protocol, bytes: payload };
  return protocol === 'udp' ? udp(options, payload, src, dst) : tcp(options, payload, src, dst);
}

function udp(options: FrameOptions, payload: Buffer, src: Buffer, dst: Buffer): Transport {
  const bytes = Buffer.concat([Buffer.alloc(8), payload]);
  ports(bytes, options);
  bytes.writeUInt16BE(bytes.length, 4);
  const sum = checksum([src, dst, u16(UDP), u16(bytes.length), bytes]);
  bytes.writeUInt16BE(sum === 0 ? 0xffff : sum, 6);
  return { protocol: UDP, bytes };
}

function tcp(options: FrameOptions, payload: Buffer, src: Buffer, dst: Buffer): Transport {
  const extra = padded(options.tcpOptions ?? new Uint8Array(), 4);
  const bytes = Buffer.concat([Buffer.alloc(20), extra, payload]);
  ports(bytes, options);
  bytes.writeInt32BE((options.seq ?? 1) | 0, 4);
  bytes[12] = ((20 + extra.length) >> 2) << 4;
  bytes[13] = options.flags ?? SYN;
  bytes.writeUInt16BE(64_240, 14);
  bytes.writeUInt16BE(checksum([src, dst, u16(TCP), u16(bytes.length), bytes]), 16);
  return { protocol: TCP, bytes };
}

function ports(bytes: Buffer, options: FrameOptions): void {
  bytes.writeUInt16BE(options.srcPort ?? 40_000, 0);
  bytes.writeUInt16BE(options.dstPort ?? 62_201, 2);
}

/** The Internet checksum (RFC 1071); every part but the last must have an even length. */
function checksum(parts: readonly Buffer[]): number {
  const bytes = Buffer.concat(parts);
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Four or sixteen bytes in network order. Unlike the library, IPv4-mapped text gives the IPv6 form. */
function words(text: string): Buffer {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/u.exec(text)?.[1];
  const address = parseAddress(mapped ?? text);
  if (address === null) throw new TypeError(`not an address: ${text}`);
  return bytesOf(address, mapped !== undefined || address.family === 6);
}

function bytesOf(address: Address, whole: boolean): Buffer {
  const bytes = Buffer.alloc(16);
  address.words.forEach((word, i) => bytes.writeInt32BE(word, 4 * i));
  return whole ? bytes : bytes.subarray(12);
}

function padded(bytes: Uint8Array, unit: number): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((unit - (bytes.length % unit)) % unit)]);
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}
