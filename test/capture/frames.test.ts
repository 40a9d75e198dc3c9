// Packets on the pipe between the capture process and its parent: whatever is written comes out whole, wherever the
// pipe cuts it, and nothing that was not written does.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { encodeFrame, FRAME_HEADER, FrameReader, SNAP_LENGTH } from '../../lib/capture/frames.ts';

interface Packet {
  readonly bytes: Uint8Array;
  readonly wire: number;
  readonly link: number;
  readonly seconds: number;
  readonly microseconds: number;
}

interface Received {
  readonly bytes: string;
  readonly wire: number;
  readonly link: number;
  readonly timeMs: number;
}

/** What the package pcap hands out: seconds, microseconds, captured length, length on the wire. */
function header({ bytes, wire, seconds, microseconds }: Packet): Buffer {
  const result = Buffer.alloc(16);
  [seconds, microseconds, bytes.length, wire].forEach((value, i) => result.writeUInt32LE(value, 4 * i));
  return result;
}

function encoded(packet: Packet): Buffer {
  const frame = Buffer.alloc(FRAME_HEADER + SNAP_LENGTH, 0x5a);
  const length = encodeFrame(frame, header(packet), Buffer.from(packet.bytes), packet.link);
  return Buffer.from(frame.subarray(0, length));
}

function reader(): { readonly reader: FrameReader; readonly received: Received[] } {
  const received: Received[] = [];
  const take = new FrameReader((bytes, start, captured, wire, link, timeMs) => {
    received.push({ bytes: bytes.toString('hex', start, start + captured), wire, link, timeMs });
  });
  return { reader: take, received };
}

const packet: fc.Arbitrary<Packet> = fc.record({
  bytes: fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc.uint8Array({ minLength: SNAP_LENGTH - 1, maxLength: SNAP_LENGTH }),
  ),
  wire: fc.integer({ min: 0, max: 0xffffffff }),
  link: fc.constantFrom(0, 1, 101, 113, 276),
  seconds: fc.integer({ min: 0, max: 0xffffffff }),
  microseconds: fc.integer({ min: 0, max: 999_999 }),
});

function expected({ bytes, wire, link, seconds, microseconds }: Packet): Received {
  return {
    bytes: Buffer.from(bytes).toString('hex'),
    wire,
    link,
    timeMs: seconds * 1000 + Math.floor(microseconds / 1000),
  };
}

describe('FrameReader', () => {
  it('gives back what encodeFrame wrote, wherever the pipe cuts it', () => {
    const cuts = fc.array(fc.oneof(fc.integer({ min: 1, max: 25 }), fc.integer({ min: 1, max: 3000 })), {
      minLength: 1,
    });
    fc.assert(
      fc.property(fc.array(packet, { maxLength: 12 }), cuts, (packets, sizes) => {
        const stream = Buffer.concat(packets.map(encoded));
        const { reader: take, received } = reader();
        for (let at = 0, i = 0; at < stream.length; i += 1) {
          const end = at + (sizes[i % sizes.length] ?? 1);
          // A chunk of its own, overwritten afterwards: nothing may be kept of it but a copy.
          const chunk = Buffer.from(stream.subarray(at, end));
          take.push(chunk);
          chunk.fill(0xee);
          at = end;
        }
        assert.deepEqual(received, packets.map(expected));
      }),
      { numRuns: 300 },
    );
  });

  it('delivers a frame as soon as its last byte is there, and not before', () => {
    const one: Packet = { bytes: Buffer.alloc(30, 7), wire: 60, link: 1, seconds: 5, microseconds: 7000 };
    const bytes = encoded(one);
    const { reader: take, received } = reader();
    for (let at = 0; at < bytes.length - 1; at += 1) take.push(bytes.subarray(at, at + 1));
    assert.deepEqual(received, []);
    take.push(bytes.subarray(-1));
    assert.deepEqual(received, [expected(one)]);
  });

  it('takes empty chunks and empty packets', () => {
    const none: Packet = { bytes: new Uint8Array(), wire: 0, link: 1, seconds: 0, microseconds: 0 };
    const { reader: take, received } = reader();
    take.push(Buffer.alloc(0));
    take.push(Buffer.concat([encoded(none), encoded(none)]));
    take.push(Buffer.alloc(0));
    assert.equal(received.length, 2);
  });

  for (const cut of [FRAME_HEADER + 10, FRAME_HEADER, 7, 1]) {
    it(`refuses a length that cannot be, cut after ${cut} bytes, and delivers nothing of it`, () => {
      for (const length of [SNAP_LENGTH + 1, 0x7fffffff, 0x80000000, 0xffffffff]) {
        const bytes = Buffer.alloc(FRAME_HEADER + SNAP_LENGTH + 100);
        bytes.writeUInt32LE(length, 0);
        const { reader: take, received } = reader();
        assert.throws(
          () => {
            take.push(bytes.subarray(0, cut));
            take.push(bytes.subarray(cut));
          },
          { name: 'RangeError', message: `captured length must be at most ${SNAP_LENGTH}, got ${length}` },
        );
        assert.deepEqual(received, []);
      }
    });
  }
});

describe('encodeFrame', () => {
  it('cuts a packet at the snap length and tells how long it was', () => {
    const bytes = Buffer.alloc(SNAP_LENGTH + 500, 9);
    const frame = encoded({ bytes, wire: 9000, link: 1, seconds: 1, microseconds: 0 });
    assert.equal(frame.length, FRAME_HEADER + SNAP_LENGTH);
    const { reader: take, received } = reader();
    take.push(frame);
    assert.deepEqual([received[0]?.bytes.length, received[0]?.wire], [2 * SNAP_LENGTH, 9000]);
  });
});
