// fast-check generators of frames: sound ones of every kind, and the same with bytes changed and ends cut off.

import fc from 'fast-check';
import { formatAddress } from '../../lib/address.ts';
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
import { frame, type FrameOptions } from './frames.ts';

export const LINKS = [
  LINK_ETHERNET,
  LINK_RAW,
  LINK_LINUX_SLL,
  LINK_LINUX_SLL2,
  LINK_NULL,
  LINK_LOOP,
  LINK_IPV4,
  LINK_IPV6,
];

export interface Specimen {
  readonly bytes: Buffer;
  readonly wire: number;
  readonly link: number;
}

const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const port = fc.integer({ min: 0, max: 65_535 });
const v4 = word.map((d) => formatAddress({ family: 4, words: [0, 0, 0xffff, d] }));
const v6 = fc
  .tuple(word, word, word)
  .map(([b, c, d]) => formatAddress({ family: 6, words: [0x20010db8, b, c, d] }));
const vlan = fc.array(
  fc.record({ type: fc.constantFrom(0x8100, 0x88a8, 0x9100), id: fc.integer({ min: 0, max: 4095 }) }),
  { maxLength: 4 },
);
const extension = fc.oneof(
  fc.record({ kind: fc.constant(60), body: fc.uint8Array({ maxLength: 30 }) }),
  fc.record({
    kind: fc.constant(43),
    body: fc.uint8Array({ maxLength: 20 }).map((b) => Uint8Array.of(0, 0, ...b)),
  }),
);
const hopByHop = fc.record({ kind: fc.constant(0), body: fc.uint8Array({ maxLength: 14 }) });
const extensions = fc
  .tuple(fc.option(hopByHop), fc.array(extension, { maxLength: 7 }))
  .map(([first, rest]) => (first === null ? rest : [first, ...rest]));

/** Options of frames that every correct decoder accepts. */
export const soundOptions: fc.Arbitrary<FrameOptions> = fc
  .record({
    six: fc.boolean(),
    link: fc.constantFrom(...LINKS),
    vlan,
    srcs: fc.tuple(v4, v6),
    dsts: fc.tuple(v4, v6),
    protocol: fc.constantFrom('udp' as const, 'tcp' as const),
    srcPort: port,
    dstPort: port,
    flags: fc.integer({ min: 0, max: 255 }),
    seq: word,
    payload: fc.uint8Array({ maxLength: 80 }),
    ipOptions: fc.uint8Array({ maxLength: 40 }),
    tcpOptions: fc.uint8Array({ maxLength: 40 }),
    extensions,
    trailer: fc.integer({ min: 0, max: 20 }),
  })
  .map(({ six, link, vlan: tags, srcs, dsts, ...rest }) => {
    const isV6 = link === LINK_IPV6 || (link !== LINK_IPV4 && six);
    const tagged = [LINK_ETHERNET, LINK_LINUX_SLL, LINK_LINUX_SLL2].includes(link);
    const at = isV6 ? 1 : 0;
    return { ...rest, link, src: srcs[at], dst: dsts[at], ...(tagged ? { vlan: tags } : {}) };
  });

/** Sound frames. */
export const sound: fc.Arbitrary<Specimen> = soundOptions.map((options) => specimenOf(options));

/** Frames with up to four bytes changed (mostly in the headers), cut short, or of another link type than claimed. */
export const damaged: fc.Arbitrary<Specimen> = fc
  .record({
    specimen: sound,
    changes: fc.array(fc.tuple(fc.nat(120), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }),
    cut: fc.option(fc.nat(200), { freq: 3 }),
    wire: fc.integer({ min: -3, max: 3 }),
    link: fc.option(fc.constantFrom(...LINKS, 2, 127), { freq: 6 }),
  })
  .map(({ specimen, changes, cut, wire, link }) => {
    const bytes = Buffer.from(specimen.bytes);
    for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value;
    const kept = cut === null ? bytes : bytes.subarray(0, cut);
    return { bytes: kept, wire: specimen.wire + wire, link: link ?? specimen.link };
  });

function specimenOf(options: FrameOptions): Specimen {
  const bytes = frame(options);
  return { bytes, wire: bytes.length, link: options.link ?? LINK_ETHERNET };
}
