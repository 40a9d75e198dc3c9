// The slow, obvious decoder that the fast one is checked against: cuts the frame into slices, one layer at a time.
// Written from the formats (RFC 791, 8200, 768, 9293 and the link types' pages), not from the fast one.

import type { DecodeFault } from '../../lib/packet/decode.ts';

export interface Decoded {
  readonly family: 4 | 6;
  readonly protocol: 6 | 17;
  /** Hex of the address bytes. */
  readonly src: string;
  readonly dst: string;
  readonly srcPort: number;
  readonly dstPort: number;
  readonly flags: number;
  readonly seq: number;
  readonly payload: string;
}

/** Bytes of some layer: those captured, and how many there were on the wire. */
interface Slice {
  readonly bytes: Buffer;
  readonly wire: number;
}

class Fault extends Error {
  readonly fault: DecodeFault;
  constructor(fault: DecodeFault) {
    super(fault);
    this.fault = fault;
  }
}

/** What a correct decoder makes of a frame. */
export function modelDecode(bytes: Buffer, wire: number, link: number): Decoded | DecodeFault {
  try {
    if (wire < bytes.length) throw new Fault('bad-length');
    return decodeLink({ bytes, wire }, link);
  } catch (error) {
    if (error instanceof Fault) return error.fault;
    throw error;
  }
}

function decodeLink(frame: Slice, link: number): Decoded {
  switch (link) {
    case 1:
      return decodeTyped(frame, 12, 14);
    case 113:
      return decodeTyped(frame, 14, 16);
    case 276:
      return decodeTyped(frame, 0, 20);
    case 0:
    case 108: {
      need(frame, 4);
      const either = [frame.bytes.readUInt32BE(0), frame.bytes.readUInt32LE(0)];
      const rest = after(frame, 4);
      if (either.includes(2)) return decodeIp(rest, 4);
      if (either.some((family) => [10, 24, 28, 30].includes(family))) return decodeIp(rest, 6);
      throw new Fault('not-ip');
    }
    case 101:
      return decodeIp(frame, null);
    case 228:
      return decodeIp(frame, 4);
    case 229:
      return decodeIp(frame, 6);
    default:
      throw new Fault('link-type');
  }
}

function decodeTyped(frame: Slice, typeAt: number, headerBytes: number): Decoded {
  need(frame, headerBytes);
  let type = frame.bytes.readUInt16BE(typeAt);
  let rest = after(frame, headerBytes);
  let tags = 0;
  while (type === 0x8100 || type === 0x88a8 || type === 0x9100) {
    tags += 1;
    if (tags > 4) throw new Fault('bad-header');
    need(rest, 4);
    type = rest.bytes.readUInt16BE(2);
    rest = after(rest, 4);
  }
  if (type === 0x0800) return decodeIp(rest, 4);
  if (type === 0x86dd) return decodeIp(rest, 6);
  throw new Fault('not-ip');
}

function decodeIp(packet: Slice, announced: 4 | 6 | null): Decoded {
  need(packet, 1);
  const version = packet.bytes.readUInt8(0) >> 4;
  if (version !== 4 && version !== 6) throw new Fault(announced === null ? 'not-ip' : 'bad-header');
  if (announced !== null && announced !== version) throw new Fault('bad-header');
  return version === 4 ? decodeV4(packet) : decodeV6(packet);
}

function decodeV4(packet: Slice): Decoded {
  need(packet, 20);
  const headerBytes = (packet.bytes.readUInt8(0) % 16) * 4;
  const total = packet.bytes.readUInt16BE(2);
  if (headerBytes < 20) throw new Fault('bad-header');
  if (total < headerBytes || total > packet.wire) throw new Fault('bad-length');
  need(packet, headerBytes);
  const field = packet.bytes.readUInt16BE(6);
  const moreFragments = Math.floor(field / 0x2000) % 2 === 1;
  if (moreFragments || field % 0x2000 !== 0) throw new Fault('fragment');
  const src = packet.bytes.toString('hex', 12, 16);
  const dst = packet.bytes.toString('hex', 16, 20);
  const carried = after(first(packet, total), headerBytes);
  return { family: 4, src, dst, ...decodeTransport(carried, packet.bytes.readUInt8(9)) };
}

function decodeV6(packet: Slice): Decoded {
  need(packet, 40);
  const length = packet.bytes.readUInt16BE(4);
  if (length === 0 || 40 + length > packet.wire) throw new Fault('bad-length');
  const src = packet.bytes.toString('hex', 8, 24);
  const dst = packet.bytes.toString('hex', 24, 40);
  let carried = after(first(packet, 40 + length), 40);
  let next = packet.bytes.readUInt8(6);
  for (let headers = 1; [0, 43, 44, 60].includes(next); headers += 1) {
    if (next === 44) throw new Fault('fragment');
    if (headers > 8 || (next === 0 && headers > 1)) throw new Fault('extension-header');
    if (carried.wire < 8) throw new Fault('bad-length');
    need(carried, 8);
    const size = 8 * (1 + carried.bytes.readUInt8(1));
    if (size > carried.wire) throw new Fault('bad-length');
    need(carried, size);
    if (next === 43 && carried.bytes.readUInt8(3) > 0) throw new Fault('extension-header');
    next = carried.bytes.readUInt8(0);
    carried = after(carried, size);
  }
  return { family: 6, src, dst, ...decodeTransport(carried, next) };
}

function decodeTransport(carried: Slice, protocol: number): Omit<Decoded, 'family' | 'src' | 'dst'> {
  if (protocol === 17) {
    if (carried.wire < 8) throw new Fault('bad-length');
    need(carried, 8);
    const length = carried.bytes.readUInt16BE(4);
    if (length < 8 || length > carried.wire) throw new Fault('bad-length');
    need(carried, length);
    return {
      protocol,
      ...portsOf(carried),
      flags: 0,
      seq: 0,
      payload: carried.bytes.toString('hex', 8, length),
    };
  }
  if (protocol === 6) {
    if (carried.wire < 20) throw new Fault('bad-length');
    need(carried, 20);
    const headerBytes = Math.floor(carried.bytes.readUInt8(12) / 16) * 4;
    if (headerBytes < 20) throw new Fault('bad-header');
    if (headerBytes > carried.wire) throw new Fault('bad-length');
    need(carried, headerBytes);
    const flags = carried.bytes.readUInt8(13);
    const seq = carried.bytes.readInt32BE(4);
    return { protocol, ...portsOf(carried), flags, seq, payload: carried.bytes.toString('hex', headerBytes) };
  }
  throw new Fault('not-tcp-udp');
}

function portsOf({ bytes }: Slice): { srcPort: number; dstPort: number } {
  return { srcPort: bytes.readUInt16BE(0), dstPort: bytes.readUInt16BE(2) };
}

function need(slice: Slice, count: number): void {
  if (slice.bytes.length < count) throw new Fault('truncated');
}

function first(slice: Slice, count: number): Slice {
  return { bytes: slice.bytes.subarray(0, count), wire: Math.min(slice.wire, count) };
}

function after(slice: Slice, count: number): Slice {
  return { bytes: slice.bytes.subarray(count), wire: slice.wire - count };
}
