// The decoder, for every packet that arrives: whole frames of each kind, and what it refuses. Beside it stands the
// least that any decoder has to do: the same fields read at fixed offsets, with no check at all.

import { encodeFrame, FrameReader } from '../lib/capture/frames.ts';
import { decode as decodeFrame } from '../lib/packet/decode.ts';
import { i32, u16, u8 } from '../lib/packet/bytes.ts';
import { LINK_ETHERNET } from '../lib/packet/link.ts';
import { PacketView } from '../lib/packet/view.ts';
import { frame, type FrameOptions } from '../test/support/frames.ts';
import { must, type Bench, type Row } from './bench.ts';
import { inTurn, noise, noiseBytes, round } from './packets.ts';

const AT_MS = 1_700_000_000_000;

export async function decode(bench: Bench): Promise<void> {
  const view = new PacketView();
  const unit = 'packets';
  const each = (bytes: Buffer): unknown =>
    decodeFrame(view, bytes, 0, bytes.length, bytes.length, LINK_ETHERNET, AT_MS);
  const next = noise();
  const frames = (options: FrameOptions): readonly Buffer[] =>
    round((i) =>
      frame({
        ...options,
        srcPort: 1024 + next(60_000),
        dstPort: 1 + next(65_535),
        payload: noiseBytes(next, i % 7 === 0 ? 16 : 1 + next(60)),
      }),
    );

  const udp = frames({});
  const bare = await bench.row(
    'bare reads at fixed offsets, Ethernet/IPv4/UDP',
    inTurn(udp, (bytes) => bareReads(view, bytes)),
    { unit },
  );
  const beside = { unit, beside: bare, allocates: 'nothing' } as const;
  await bench.row('Ethernet/IPv4/UDP', inTurn(udp, each), beside);
  const tcp = frames({ protocol: 'tcp' });
  await bench.row('Ethernet/IPv4/TCP', inTurn(tcp, each), beside);
  const v6 = frames({ src: '2001:db8::7' });
  await bench.row('Ethernet/IPv6/UDP', inTurn(v6, each), beside);
  const extended = frames({ src: '2001:db8::7', vlan: [7], extensions: [{ kind: 0 }, { kind: 60 }] });
  await bench.row('Ethernet/VLAN/IPv6/two extension headers/UDP', inTurn(extended, each), beside);
  const fragments = frames({ fragment: 0x2000 });
  await bench.row('refused: an IPv4 fragment', inTurn(fragments, each), beside);
  const arp = round(() => Buffer.concat([Buffer.alloc(12), Buffer.from([8, 6]), Buffer.alloc(28)]));
  await bench.row('refused: ARP', inTurn(arp, each), beside);
  const kinds = [udp, tcp, v6, extended, fragments, arp];
  const mixed = round((i) => kinds[next(kinds.length)]?.[i] ?? Buffer.alloc(0));
  await bench.row('all of these, mixed', inTurn(mixed, each), beside);
  await capturePipe(bench, { frames: mixed, beside: bare });
}

/** What live capture adds: the capture process's frames, cut out of the pipe's chunks. */
async function capturePipe(
  bench: Bench,
  { frames, beside }: { readonly frames: readonly Buffer[]; readonly beside: Row },
): Promise<void> {
  const view = new PacketView();
  const header = Buffer.alloc(16);
  const chunk = Buffer.concat(
    frames.map((bytes, i) => {
      const piped = Buffer.alloc(2048);
      // 1,024 packets within ten milliseconds, as a flood brings them.
      [AT_MS / 1000, i * 10, bytes.length, bytes.length].forEach((n, at) => header.writeUInt32LE(n, 4 * at));
      return piped.subarray(0, encodeFrame(piped, header, bytes, LINK_ETHERNET));
    }),
  );
  let decoded = 0;
  const reader = new FrameReader((bytes, start, captured, wire, link, timeMs) => {
    if (decodeFrame(view, bytes, start, captured, wire, link, timeMs) === null) decoded += 1;
  });
  const push = (): void => {
    reader.push(chunk);
  };
  const options = { unit: 'packets', per: frames.length, beside, allocates: 'nothing' } as const;
  await bench.row('the same, cut out of the pipe of the capture process', push, options);
  must(decoded > 0, 'frames of the pipe are decoded');
}

function bareReads(view: PacketView, bytes: Buffer): null {
  view.protocol = u8(bytes, 23);
  view.src3 = i32(bytes, 26);
  view.dst3 = i32(bytes, 30);
  view.srcPort = u16(bytes, 34);
  view.dstPort = u16(bytes, 36);
  view.payloadLength = u16(bytes, 38);
  view.timeMs = AT_MS;
  view.bytes = bytes;
  return null;
}
