// The one reused view of a decoded packet: int32 fields only, so that decoding allocates nothing
// (uint32 would be boxed). Whoever keeps something beyond the call copies it.

import type { Address } from '../address.ts';

export const TCP = 6;
export const UDP = 17;

/** TCP flag bits, RFC 9293 section 3.1. */
export const FIN = 1;
export const SYN = 2;
export const RST = 4;
export const ACK = 16;

/** A decoded TCP or UDP packet. Valid only until the call that received it returns. */
export class PacketView {
  /** 4 or 6. */
  family = 4;
  /** IP protocol: 6 for TCP, 17 for UDP. */
  protocol = 0;
  /** Source address as four int32 words, network order; IPv4 as ::ffff:a.b.c.d. */
  src0 = 0;
  src1 = 0;
  src2 = 0;
  src3 = 0;
  /** Destination address, same form. */
  dst0 = 0;
  dst1 = 0;
  dst2 = 0;
  dst3 = 0;
  srcPort = 0;
  dstPort = 0;
  /** TCP flags (the low eight bits), 0 for UDP. */
  flags = 0;
  /** TCP initial or current sequence number as int32, 0 for UDP. */
  seq = 0;
  /** The frame's bytes, borrowed from the source. */
  bytes: Buffer = Buffer.alloc(0);
  /** Where the payload starts in `bytes`, and its length as the headers say it (all of it was captured). */
  payloadStart = 0;
  payloadLength = 0;
  /** When the packet was captured, Unix milliseconds. */
  timeMs = 0;
}

/** Copies the source address out of the view. */
export function sourceOf(view: PacketView): Address {
  return { family: view.family === 6 ? 6 : 4, words: [view.src0, view.src1, view.src2, view.src3] };
}

/** Copies the destination address out of the view. */
export function destinationOf(view: PacketView): Address {
  return { family: view.family === 6 ? 6 : 4, words: [view.dst0, view.dst1, view.dst2, view.dst3] };
}
