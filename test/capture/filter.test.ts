// The kernel's filter: its text, and what the real libpcap selects with it against what the decoder and the needs say.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { captureFilter } from '../../lib/capture/filter.ts';
import {
  LINK_ETHERNET,
  LINK_LINUX_SLL,
  LINK_LINUX_SLL2,
  LINK_NULL,
  LINK_RAW,
} from '../../lib/packet/link.ts';
import { ACK, FIN, RST, SYN } from '../../lib/packet/view.ts';
import type { CaptureNeed } from '../../lib/scheme/scheme.ts';
import { decoded } from '../support/decoded.ts';
import { frame, type FrameOptions } from '../support/frames.ts';
import { pcap } from '../support/savefile.ts';

const NEEDS: readonly CaptureNeed[] = [
  { protocol: 'udp', ports: [20_000, 20_010], payloadLength: 32 },
  { protocol: 'udp', ports: [20_005, 20_020], payloadLength: 32 },
  { protocol: 'udp', ports: [9000, 9000] },
  { protocol: 'tcp-syn', ports: [7000, 7000] },
  { protocol: 'tcp-syn', ports: [60_000, 65_535] },
];

function wanted(bytes: Buffer, link: number): boolean {
  const packet = decoded(bytes, link);
  if (typeof packet === 'string') return false;
  return NEEDS.some(({ protocol, ports: [low, high], payloadLength }) => {
    if (packet.dstPort < low || packet.dstPort > high) return false;
    if (protocol === 'tcp-syn')
      return packet.protocol === 6 && (packet.flags & (SYN | ACK | RST | FIN)) === SYN;
    return (
      packet.protocol === 17 && (payloadLength ?? packet.payload.length / 2) === packet.payload.length / 2
    );
  });
}

/** Frames around every edge of NEEDS. */
function variety(base: FrameOptions): Buffer[] {
  const frames: Buffer[] = [];
  const ports = [
    6999, 7000, 7001, 8999, 9000, 19_999, 20_000, 20_010, 20_020, 20_021, 59_999, 60_000, 65_535,
  ];
  const kinds: readonly FrameOptions[] = [
    {},
    { ipOptions: Buffer.alloc(8, 1) },
    { trailer: 6 },
    { fragment: 0x2000 },
    { fragment: 0x00b9 },
    { fragment: 0 },
  ];
  for (const dstPort of ports) {
    for (const kind of kinds) {
      for (const payload of [31, 32, 33].map((size) => Buffer.alloc(size))) {
        frames.push(frame({ ...base, ...kind, dstPort, payload }));
        // The other way round: only the source port is one of ours.
        frames.push(frame({ ...base, ...kind, srcPort: dstPort, dstPort: 5, payload }));
      }
      for (const flags of [SYN, SYN | ACK, SYN | FIN, SYN | RST, ACK, 0, SYN | 0xc0, SYN | 8, SYN | 32]) {
        frames.push(frame({ ...base, ...kind, protocol: 'tcp', dstPort, flags }));
      }
    }
  }
  frames.push(frame({ ...base, protocol: 1, payload: Buffer.alloc(64) }));
  return frames;
}

function extended(): Buffer[] {
  return [0, 43, 60].flatMap((kind) => [
    frame({ ...V6, extensions: [{ kind, body: Buffer.alloc(6) }], dstPort: 9000 }),
    frame({ ...V6, extensions: [{ kind, body: Buffer.alloc(6) }], protocol: 'tcp', dstPort: 7000 }),
  ]);
}

const V6: FrameOptions = { src: '2001:db8::7', dst: '2001:db8::1' };

const tcpdump = (...args: string[]): ReturnType<typeof spawnSync> => spawnSync('tcpdump', args);

describe('captureFilter', () => {
  let folder = '';
  before(function () {
    if (tcpdump('--version').error !== undefined) {
      if (process.env['CI'] === 'true') assert.fail('tcpdump is missing');
      this.skip();
    }
    folder = mkdtempSync(join(tmpdir(), 'portknock-filter-'));
  });
  after(() => {
    if (folder !== '') rmSync(folder, { recursive: true, force: true });
  });

  /** Which of `frames` tcpdump selects. */
  function selected(frames: readonly Buffer[], link: number, filter: string): Set<number> {
    const from = join(folder, 'from.pcap');
    const to = join(folder, 'to.pcap');
    writeFileSync(
      from,
      pcap(
        frames.map((bytes, i) => ({ bytes, timeMs: i * 1000 })),
        { link },
      ),
    );
    const { status, stderr } = tcpdump('-r', from, '-w', to, filter);
    assert.equal(status, 0, String(stderr));
    const chosen = readFileSync(to);
    const numbers = new Set<number>();
    for (let at = 24; at < chosen.length; at += 16 + chosen.readUInt32LE(at + 8))
      numbers.add(chosen.readUInt32LE(at));
    return numbers;
  }

  function selectsExactly(frames: readonly Buffer[], link: number): void {
    const chosen = selected(frames, link, captureFilter(NEEDS));
    const expected = frames.map((bytes, i) => (wanted(bytes, link) ? i : -1)).filter((i) => i >= 0);
    assert.ok(expected.length > 0);
    assert.deepEqual([...chosen], expected);
  }

  it('merges ranges and does not depend on the order of the needs', () => {
    const text = captureFilter(NEEDS);
    assert.equal(captureFilter([...NEEDS].reverse()), text);
    assert.match(text, /udp dst portrange 20000-20020 and udp\[4:2\] = 40/u);
    assert.doesNotMatch(text, /20005|20010/u);
    assert.equal(captureFilter([...NEEDS, ...NEEDS]), text);
  });

  it('is written as expected', () => {
    assert.equal(
      captureFilter([{ protocol: 'tcp-syn', ports: [7000, 7000] }]),
      '(ip and ip[6:2] & 0x3fff = 0 and (tcp dst port 7000 and tcp[13] & 0x17 = 0x02))' +
        ' or (ip6 and ((ip6[6] = 6 and ip6[42:2] = 7000 and ip6[53] & 0x17 = 0x02)' +
        ' or (ip6[6] = 0 or ip6[6] = 43 or ip6[6] = 60)))',
    );
  });

  it('compiles for every link type', () => {
    for (const type of ['EN10MB', 'RAW', 'LINUX_SLL', 'LINUX_SLL2', 'NULL']) {
      for (const needs of [NEEDS, [], NEEDS.slice(0, 1)]) {
        const { status, stderr } = tcpdump('-y', type, '-d', captureFilter(needs));
        assert.equal(status, 0, `${type}: ${String(stderr)}`);
      }
    }
  });

  it('selects nothing when nothing is needed', () => {
    assert.deepEqual([...selected(variety({}), LINK_ETHERNET, captureFilter([]))], []);
  });

  for (const [name, link] of [
    ['Ethernet', LINK_ETHERNET],
    ['raw IP', LINK_RAW],
    ['Linux cooked', LINK_LINUX_SLL],
    ['Linux cooked version 2', LINK_LINUX_SLL2],
    ['NULL', LINK_NULL],
  ] as const) {
    it(`selects exactly what the decoder and the needs say, ${name}`, () => {
      selectsExactly([...variety({ link }), ...variety({ link, ...V6 })], link);
    });
  }

  it('lets every packet with IPv6 extension headers pass, and no fragment', () => {
    const frames = [...extended(), frame({ ...V6, extensions: [{ kind: 44 }], dstPort: 9000 })];
    const chosen = selected(frames, LINK_ETHERNET, captureFilter(NEEDS));
    assert.deepEqual([...chosen], [0, 1, 2, 3, 4, 5]);
    assert.deepEqual(
      frames.map((bytes) => wanted(bytes, LINK_ETHERNET)),
      [true, true, true, true, true, true, false],
    );
  });
});
