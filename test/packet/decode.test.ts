// The decoder by hand-made frames: each good one with the ways in which it can lie.

import assert from 'node:assert/strict';
import { formatAddress } from '../../lib/address.ts';
import { decode, type DecodeFault } from '../../lib/packet/decode.ts';
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
import { ACK, destinationOf, PacketView, sourceOf, SYN, TCP, UDP } from '../../lib/packet/view.ts';
import { decoded } from '../support/decoded.ts';
import { frame, type Extension, type FrameOptions } from '../support/frames.ts';

const V6 = { src: '2001:db8::7', dst: '2001:db8::1' };
const V4_AT = 14;
const HOP_BY_HOP: Extension = { kind: 0 };
const ROUTING: Extension = { kind: 43, body: Buffer.from([0, 0, 0, 0, 0, 0]) };
const OPTIONS: Extension = { kind: 60, body: Buffer.alloc(14) };
const FRAGMENT: Extension = { kind: 44 };

function read(bytes: Buffer, link = LINK_ETHERNET): PacketView {
  const view = new PacketView();
  assert.equal(decode(view, bytes, 0, bytes.length, bytes.length, link, 1234), null);
  return view;
}

function payloadOf(view: PacketView): string {
  return view.bytes.toString('latin1', view.payloadStart, view.payloadStart + view.payloadLength);
}

/** A frame of `options`, changed by `change`, as a fault. */
function fault(
  options: FrameOptions,
  change: (bytes: Buffer) => Buffer | undefined = () => undefined,
): unknown {
  const bytes = frame(options);
  return decoded(change(bytes) ?? bytes, options.link);
}

const setU8 = (at: number, value: number) => (bytes: Buffer) => void bytes.writeUInt8(value, at);
const setU16 = (at: number, value: number) => (bytes: Buffer) => void bytes.writeUInt16BE(value, at);
const cutTo = (length: number) => (bytes: Buffer) => bytes.subarray(0, length);
const without = (count: number) => (bytes: Buffer) => bytes.subarray(0, bytes.length - count);

type Vector = readonly [name: string, fault: DecodeFault, change: (bytes: Buffer) => Buffer | undefined];

function refuses(options: FrameOptions, vectors: readonly Vector[]): void {
  for (const [name, expected, change] of vectors) {
    it(`refuses ${name} as ${expected}`, () => {
      assert.equal(
        fault(options, (bytes) => change(bytes) ?? undefined),
        expected,
      );
    });
  }
}

describe('decode', () => {
  describe('an IPv4 UDP datagram in Ethernet', () => {
    const good: FrameOptions = {
      src: '203.0.113.9',
      dst: '198.51.100.4',
      srcPort: 5,
      dstPort: 65_535,
      payload: 'knock',
    };

    it('is read field by field', () => {
      const view = read(frame(good));
      assert.equal(view.family, 4);
      assert.equal(view.protocol, UDP);
      assert.equal(formatAddress(sourceOf(view)), '203.0.113.9');
      assert.equal(formatAddress(destinationOf(view)), '198.51.100.4');
      assert.deepEqual([view.srcPort, view.dstPort, view.flags, view.seq], [5, 65_535, 0, 0]);
      assert.equal(payloadOf(view), 'knock');
      assert.equal(view.timeMs, 1234);
    });

    it('is read behind IPv4 options', () => {
      assert.equal(payloadOf(read(frame({ ...good, ipOptions: Buffer.alloc(40, 1) }))), 'knock');
    });

    it('may have padding behind it, and an empty payload', () => {
      const view = read(frame({ ...good, payload: '', trailer: 18 }));
      assert.equal(view.payloadLength, 0);
    });

    it('may be shorter than the IP packet that carries it', () => {
      const bytes = frame({ ...good, payload: 'knock, knock' });
      bytes.writeUInt16BE(8 + 5, V4_AT + 20 + 4);
      assert.equal(payloadOf(read(bytes)), 'knock');
    });

    refuses(good, [
      ['an IP version that the link denies', 'bad-header', setU8(V4_AT, 0x65)],
      ['a header length below five words', 'bad-header', setU8(V4_AT, 0x44)],
      ['a total length shorter than the header', 'bad-length', setU16(V4_AT + 2, 19)],
      ['a total length longer than the frame', 'bad-length', setU16(V4_AT + 2, 34)],
      ['a header longer than the packet', 'bad-length', setU8(V4_AT, 0x4f)],
      ['a total length that leaves no UDP header', 'bad-length', setU16(V4_AT + 2, 27)],
      ['a UDP length below eight', 'bad-length', setU16(V4_AT + 24, 7)],
      ['a UDP length of zero', 'bad-length', setU16(V4_AT + 24, 0)],
      ['a UDP length longer than the IP packet', 'bad-length', setU16(V4_AT + 24, 14)],
      ['a first fragment', 'fragment', setU16(V4_AT + 6, 0x2000)],
      ['a later fragment', 'fragment', setU16(V4_AT + 6, 0x2001)],
      ['a last fragment', 'fragment', setU16(V4_AT + 6, 0x0001)],
      ['a fragment that says not to be fragmented', 'fragment', setU16(V4_AT + 6, 0x6000)],
      ['another transport', 'not-tcp-udp', setU8(V4_AT + 9, 1)],
    ]);
  });

  describe('an IPv4 TCP segment', () => {
    const good: FrameOptions = {
      protocol: 'tcp',
      flags: SYN,
      seq: -2,
      dstPort: 7000,
      tcpOptions: Buffer.alloc(20, 1),
    };

    it('is read field by field', () => {
      const view = read(frame({ ...good, payload: 'data' }));
      assert.deepEqual([view.protocol, view.flags, view.seq, view.dstPort], [TCP, SYN, -2, 7000]);
      assert.equal(payloadOf(view), 'data');
    });

    it('keeps every flag', () => {
      assert.equal(read(frame({ ...good, flags: 0xff & ~ACK })).flags, 0xef);
    });

    it('needs only its headers captured', () => {
      const bytes = frame({ ...good, payload: Buffer.alloc(100) });
      const view = new PacketView();
      const captured = bytes.length - 90;
      assert.equal(decode(view, bytes, 0, captured, bytes.length, LINK_ETHERNET, 0), null);
      assert.equal(view.payloadLength, 10);
    });

    refuses(good, [
      ['a data offset below five words', 'bad-header', setU8(V4_AT + 32, 0x40)],
      ['a data offset behind the packet', 'bad-length', setU8(V4_AT + 32, 0xb0)],
      ['an IP packet too short for a TCP header', 'bad-length', setU16(V4_AT + 2, 39)],
      ['a fragment', 'fragment', setU16(V4_AT + 6, 0x2000)],
    ]);

    it('refuses one whose options were not captured', () => {
      const bytes = frame(good);
      assert.equal(decoded(bytes.subarray(0, bytes.length - 1), LINK_ETHERNET, bytes.length), 'truncated');
    });
  });

  describe('an IPv6 packet', () => {
    const good: FrameOptions = { ...V6, payload: 'knock' };

    it('is read field by field', () => {
      const view = read(frame({ ...good, srcPort: 9, dstPort: 10 }));
      assert.equal(view.family, 6);
      assert.equal(formatAddress(sourceOf(view)), '2001:db8::7');
      assert.equal(formatAddress(destinationOf(view)), '2001:db8::1');
      assert.deepEqual([view.srcPort, view.dstPort], [9, 10]);
      assert.equal(payloadOf(view), 'knock');
    });

    it('stays IPv6 when its source is an IPv4-mapped address', () => {
      const view = read(frame({ src: '::ffff:192.0.2.7', dst: '2001:db8::1' }));
      assert.equal(view.family, 6);
      assert.deepEqual([view.src2, view.src3], [0xffff, 0xc0000207 | 0]);
    });

    it('may end before the frame does', () => {
      assert.equal(payloadOf(read(frame({ ...good, trailer: 4 }))), 'knock');
    });

    refuses(good, [
      ['an IP version that the link denies', 'bad-header', setU8(V4_AT, 0x45)],
      ['a payload length of zero (a jumbogram)', 'bad-length', setU16(V4_AT + 4, 0)],
      ['a payload length longer than the frame', 'bad-length', setU16(V4_AT + 4, 14)],
      ['a payload length that leaves no UDP header', 'bad-length', setU16(V4_AT + 4, 7)],
      ['a UDP length longer than the payload', 'bad-length', setU16(V4_AT + 44, 14)],
      ['no next header', 'not-tcp-udp', setU8(V4_AT + 6, 59)],
      ['an authentication header', 'not-tcp-udp', setU8(V4_AT + 6, 51)],
      ['ICMPv6', 'not-tcp-udp', setU8(V4_AT + 6, 58)],
    ]);
  });

  describe('IPv6 extension headers', () => {
    const good: FrameOptions = { ...V6, extensions: [HOP_BY_HOP, ROUTING, OPTIONS], payload: 'knock' };
    const first = V4_AT + 40;

    it('are stepped over', () => {
      assert.equal(payloadOf(read(frame(good))), 'knock');
      const view = read(frame({ ...good, protocol: 'tcp', dstPort: 7000 }));
      assert.deepEqual([view.protocol, view.flags, view.dstPort], [TCP, SYN, 7000]);
    });

    it('are stepped over up to eight of them', () => {
      const eight: Extension[] = Array.from({ length: 8 }, () => OPTIONS);
      assert.equal(payloadOf(read(frame({ ...good, extensions: eight }))), 'knock');
      assert.equal(fault({ ...good, extensions: [...eight, OPTIONS] }), 'extension-header');
    });

    refuses(good, [
      ['a header that says it is longer than the packet', 'bad-length', setU8(first + 1, 255)],
      ['a header that swallows the transport', 'bad-length', setU8(first + 1, 5)],
      ['a header that another one follows out of order', 'extension-header', setU8(first, 0)],
      ['a source route with hops left', 'extension-header', setU8(first + 8 + 3, 1)],
      ['a fragment header behind another', 'fragment', setU8(first, 44)],
    ]);

    it('refuses every fragment, atomic ones too', () => {
      const atomic: FrameOptions = { ...V6, extensions: [FRAGMENT] };
      assert.equal(fault(atomic), 'fragment');
      assert.equal(fault(atomic, setU16(first + 2, 1)), 'fragment');
      assert.equal(fault(atomic, setU16(first + 2, 8)), 'fragment');
      assert.equal(fault({ ...V6, extensions: [HOP_BY_HOP, FRAGMENT] }), 'fragment');
    });
  });

  describe('each link layer', () => {
    const links: readonly [name: string, options: FrameOptions][] = [
      ['Ethernet', {}],
      ['one VLAN tag', { vlan: [7] }],
      ['stacked VLAN tags', { vlan: [{ type: 0x88a8, id: 3 }, 7] }],
      ['four VLAN tags of all kinds', { vlan: [{ type: 0x9100, id: 1 }, { type: 0x88a8, id: 2 }, 3, 4] }],
      ['Linux cooked', { link: LINK_LINUX_SLL }],
      ['Linux cooked with a VLAN tag', { link: LINK_LINUX_SLL, vlan: [7] }],
      ['Linux cooked version 2', { link: LINK_LINUX_SLL2 }],
      ['Linux cooked version 2 with a VLAN tag', { link: LINK_LINUX_SLL2, vlan: [7] }],
      ['NULL', { link: LINK_NULL }],
      ['LOOP', { link: LINK_LOOP }],
      ['raw IP', { link: LINK_RAW }],
    ];
    for (const [name, options] of links) {
      it(`${name} carries IPv4 and IPv6`, () => {
        assert.equal(payloadOf(read(frame({ ...options, payload: 'four' }), options.link)), 'four');
        assert.equal(payloadOf(read(frame({ ...options, ...V6, payload: 'six' }), options.link)), 'six');
      });
      it(`${name} is truncated wherever the capture ends early`, () => {
        const bytes = frame({ ...options, payload: 'x' });
        for (let captured = 0; captured < bytes.length; captured += 1) {
          assert.equal(
            decoded(bytes.subarray(0, captured), options.link, bytes.length),
            'truncated',
            String(captured),
          );
        }
      });
    }

    it('IPV4 and IPV6 links carry only their own', () => {
      assert.equal(read(frame({ link: LINK_IPV4 }), LINK_IPV4).family, 4);
      assert.equal(read(frame({ link: LINK_IPV6, ...V6 }), LINK_IPV6).family, 6);
      assert.equal(fault({ link: LINK_IPV4, ...V6 }), 'bad-header');
      assert.equal(fault({ link: LINK_IPV6 }), 'bad-header');
    });

    it('NULL takes the IPv6 family of every system, in either byte order', () => {
      for (const linkFamily of [10, 24, 28, 30]) {
        assert.equal(read(frame({ link: LINK_NULL, linkFamily, ...V6 }), LINK_LOOP).family, 6);
        assert.equal(read(frame({ link: LINK_LOOP, linkFamily, ...V6 }), LINK_NULL).family, 6);
      }
    });

    it('refuses what is not IP, and links that it does not know', () => {
      assert.equal(fault({}, setU16(12, 0x0806)), 'not-ip');
      assert.equal(fault({}, setU16(12, 46)), 'not-ip');
      assert.equal(fault({ vlan: [1] }, setU16(16, 0x0806)), 'not-ip');
      assert.equal(fault({ vlan: [1, 2, 3, 4, 5] }), 'bad-header');
      assert.equal(fault({ link: LINK_NULL, linkFamily: 3 }), 'not-ip');
      assert.equal(fault({ link: LINK_RAW }, setU8(0, 0x55)), 'not-ip');
      assert.equal(decoded(frame(), 127), 'link-type');
      assert.equal(decoded(frame(), -1), 'link-type');
    });
  });

  describe('the caller', () => {
    it('gets `bytes` set only when the packet was decoded', () => {
      const view = new PacketView();
      const before = view.bytes;
      const bad = frame({ fragment: 0x2000 });
      assert.equal(decode(view, bad, 0, bad.length, bad.length, LINK_ETHERNET, 0), 'fragment');
      assert.equal(view.bytes, before);
    });

    it('may hand in a frame anywhere in a buffer, also one that the buffer does not hold', () => {
      const bytes = Buffer.concat([Buffer.alloc(5), frame({ payload: 'x' })]);
      const view = new PacketView();
      const length = bytes.length - 5;
      assert.equal(decode(view, bytes, 5, length, length, LINK_ETHERNET, 0), null);
      for (const [start, captured] of [
        [5, length + 1],
        [6, length],
        [-1, length],
        [bytes.length, 1],
        [0, -1],
        [NaN, length],
        [0, Infinity],
      ] as const) {
        assert.equal(decode(view, bytes, start, captured, length, LINK_ETHERNET, 0), 'truncated');
      }
    });

    it('is told when more was captured than was sent', () => {
      assert.equal(decoded(frame(), LINK_ETHERNET, frame().length - 1), 'bad-length');
      assert.equal(decoded(frame(), LINK_ETHERNET, NaN), 'bad-length');
    });

    it('may say that a frame was four gigabytes long', () => {
      assert.equal(typeof decoded(frame(), LINK_ETHERNET, 0xffffffff), 'object');
    });

    it('gets nothing from empty frames and frames cut within the padding', () => {
      assert.equal(fault({}, cutTo(0)), 'truncated');
      assert.equal(typeof fault({ trailer: 10 }, without(5)), 'object');
    });
  });
});
