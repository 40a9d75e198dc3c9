// What the library's decoder makes of a frame, in the form of the model decoder.

import { decode, type DecodeFault } from '../../lib/packet/decode.ts';
import { LINK_ETHERNET } from '../../lib/packet/link.ts';
import { PacketView } from '../../lib/packet/view.ts';
import type { Decoded } from './model-decoder.ts';

const JUNK = 0x5a;

/** Decodes `bytes` from the middle of a larger buffer, so that a read before or behind the frame shows. */
export function decoded(bytes: Uint8Array, link = LINK_ETHERNET, wire = bytes.length): Decoded | DecodeFault {
  const view = new PacketView();
  const margin = 64;
  const around = Buffer.alloc(margin + bytes.length + margin, JUNK);
  around.set(bytes, margin);
  return decode(view, around, margin, bytes.length, wire, link, 0) ?? plain(view);
}

/** Copies a view. */
export function plain(view: PacketView): Decoded {
  const { payloadStart, payloadLength, bytes, family, protocol } = view;
  return {
    family: family === 6 ? 6 : 4,
    protocol: protocol === 6 ? 6 : 17,
    src: hex([view.src0, view.src1, view.src2, view.src3], family),
    dst: hex([view.dst0, view.dst1, view.dst2, view.dst3], family),
    srcPort: view.srcPort,
    dstPort: view.dstPort,
    flags: view.flags,
    seq: view.seq,
    payload: bytes.toString('hex', payloadStart, payloadStart + payloadLength),
  };
}

function hex(words: readonly number[], family: number): string {
  const bytes = Buffer.alloc(16);
  words.forEach((word, i) => bytes.writeInt32BE(word, 4 * i));
  return bytes.toString('hex', family === 4 ? 12 : 0);
}
