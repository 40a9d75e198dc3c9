// A captured frame into the reused view, or a literal reason why not. Runs for every packet that arrives, so it
// allocates nothing and never throws; whatever a header claims is checked against what was sent and captured.
// Checksums are not looked at: a locally sent or offloaded packet is captured before they are filled in.

import { i32, u16, u8 } from './bytes.ts';
import { readIp } from './ip.ts';
import { readLink } from './link.ts';
import { TCP, UDP } from './view.ts';
import type { PacketView } from './view.ts';

/**
 * Why a frame is not a packet for the schemes:
 * - `link-type`: a link layer that we do not read
 * - `truncated`: headers, or a UDP payload, not wholly captured
 * - `not-ip`: another protocol (ARP...)
 * - `bad-header`: a version, header length or tag stack that cannot be
 * - `bad-length`: a length larger than what carries it, or smaller than its own header
 * - `fragment`: any IP fragment
 * - `extension-header`: too many, out of place, or a source route with hops left
 * - `not-tcp-udp`: another transport
 */
export type DecodeFault =
  | 'link-type'
  | 'truncated'
  | 'not-ip'
  | 'bad-header'
  | 'bad-length'
  | 'fragment'
  | 'extension-header'
  | 'not-tcp-udp';

const UDP_BYTES = 8;
const UDP_LENGTH = 4;
const TCP_BYTES = 20;
const TCP_SEQ = 4;
const TCP_OFFSET = 12;
const TCP_FLAGS = 13;
const DESTINATION_PORT = 2;

/** More than any IP packet with its link header; keeps a savefile's absurd length an int32. */
const LONGEST_WIRE = 0x3fffffff;

/**
 * Decodes `captured` bytes of `bytes` from `start` on, of a frame of link type `link` that was `wire` bytes long.
 * Fills `view` and returns `null`; or returns the fault, and `view` (but for its `bytes`) holds nothing of use.
 */
export function decode(
  view: PacketView,
  bytes: Buffer,
  start: number,
  captured: number,
  wire: number,
  link: number,
  timeMs: number,
): DecodeFault | null {
  const end = start + captured;
  if (!(start >= 0 && captured >= 0 && end <= bytes.length)) return 'truncated';
  if (!(wire >= captured)) return 'bad-length';
  view.payloadStart = start;
  const fault =
    readLink(view, bytes, end, link) ??
    readIp(view, bytes, end, start + (wire < LONGEST_WIRE ? wire : LONGEST_WIRE)) ??
    readTransport(view, bytes, end);
  if (fault !== null) return fault;
  view.bytes = bytes;
  view.timeMs = timeMs;
  return null;
}

function readTransport(view: PacketView, bytes: Buffer, end: number): DecodeFault | null {
  if (view.protocol === UDP) return readUdp(view, bytes, end);
  if (view.protocol === TCP) return readTcp(view, bytes, end);
  return 'not-tcp-udp';
}

function readUdp(view: PacketView, bytes: Buffer, end: number): DecodeFault | null {
  const at = view.payloadStart;
  if (view.payloadLength < UDP_BYTES) return 'bad-length';
  if (at + UDP_BYTES > end) return 'truncated';
  const length = u16(bytes, at + UDP_LENGTH);
  if (length < UDP_BYTES || length > view.payloadLength) return 'bad-length';
  if (at + length > end) return 'truncated';
  view.srcPort = u16(bytes, at);
  view.dstPort = u16(bytes, at + DESTINATION_PORT);
  view.flags = 0;
  view.seq = 0;
  view.payloadStart = at + UDP_BYTES;
  view.payloadLength = length - UDP_BYTES;
  return null;
}

function readTcp(view: PacketView, bytes: Buffer, end: number): DecodeFault | null {
  const at = view.payloadStart;
  if (view.payloadLength < TCP_BYTES) return 'bad-length';
  if (at + TCP_BYTES > end) return 'truncated';
  const header = (u8(bytes, at + TCP_OFFSET) >> 4) << 2;
  if (header < TCP_BYTES) return 'bad-header';
  if (header > view.payloadLength) return 'bad-length';
  if (at + header > end) return 'truncated';
  view.srcPort = u16(bytes, at);
  view.dstPort = u16(bytes, at + DESTINATION_PORT);
  view.flags = u8(bytes, at + TCP_FLAGS);
  view.seq = i32(bytes, at + TCP_SEQ);
  view.payloadStart = at + header;
  // No scheme reads what a TCP segment carries, so its payload may be cut short by the capture.
  const rest = view.payloadLength - header;
  view.payloadLength = rest < end - view.payloadStart ? rest : end - view.payloadStart;
  return null;
}
