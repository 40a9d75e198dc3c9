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
import { random, type Random } from '../support/random.ts';
import { pcap } from '../support/savefile.ts';

const HOUR_MS = 3_600_000;
const NOW = 1_767_225_600_000;
const HINTS = [1, -2, 0x7fffffff, -0x80000000, 0, 0x00ff00ff];

const NEEDS: readonly CaptureNeed[] = [
  { protocol: 'udp', ports: [62_201, 62_201], payloadLength: [192, 480], hints: () => HINTS },
  { protocol: 'udp', ports: [62_200, 62_202], payloadLength: [479, 481], hints: () => [-559_038_737] },
  { protocol: 'udp', ports: [100, 100], hints: () => [0x01020304] },
  { protocol: 'udp', ports: [99, 100], payloadLength: [4, 9] },
  { protocol: 'udp', ports: [20_000, 20_010], payloadLength: 32 },
  { protocol: 'udp', ports: [20_005, 20_020], payloadLength: 32 },
  { protocol: 'udp', ports: [9000, 9000] },
  { protocol: 'tcp-syn', ports: [7000, 7000] },
  { protocol: 'tcp-syn', ports: [60_000, 65_535] },
];

function wanted(bytes: Buffer, link: number): boolean {
  const packet = decoded(bytes, link);
  if (typeof packet === 'string') return false;
  return NEEDS.some(({ protocol, ports: [low, high], payloadLength, hints }) => {
    if (packet.dstPort < low || packet.dstPort > high) return false;
    if (protocol === 'tcp-syn')
      return packet.protocol === 6 && (packet.flags & (SYN | ACK | RST | FIN)) === SYN;
    const payload = Buffer.from(packet.payload, 'hex');
    const lengths = typeof payloadLength === 'number' ? [payloadLength] : (payloadLength ?? [0, 65_535]);
    if (packet.protocol !== 17 || payload.length < (lengths[0] ?? 0)) return false;
    if (payload.length > (lengths.at(-1) ?? 0)) return false;
    if (hints === undefined) return true;
    return (
      payload.length >= 8 &&
      hints(NOW).some((hint) => hint === (payload.readInt32BE(0) ^ payload.readInt32BE(4)))
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

const PORTS = [99, 100, 101, 9000, 20_005, 62_199, 62_200, 62_201, 62_202, 62_203];
const LENGTHS = [0, 3, 4, 7, 8, 9, 10, 31, 32, 191, 192, 193, 478, 479, 480, 481, 482];

/** Datagrams of every sort to the ports with hints; with `lies`, the UDP header of many gives another length. */
function datagrams(base: FrameOptions, below: Random, lies = false): Buffer[] {
  const pick = (values: readonly number[]): number => values[below(values.length)] ?? 0;
  return Array.from({ length: 3000 }, () => {
    const payload = Buffer.alloc(pick(LENGTHS));
    for (let i = 0; i < payload.length; i += 1) payload[i] = below(256);
    if (payload.length >= 8) {
      const word = payload.readInt32BE(0);
      const hint = pick([...HINTS, -559_038_737, 0x01020304]);
      // Right, one bit off, swapped, or left at random.
      const kinds = [hint, hint, hint ^ (1 << below(32)), (hint << 16) | (hint >>> 16)];
      if (below(6) > 0) payload.writeInt32BE(word ^ pick(kinds), 4);
    }
    const lie = lies && below(3) > 0;
    return frame({
      ...base,
      dstPort: pick(PORTS),
      payload,
      trailer: below(4) === 0 ? 6 : 0,
      ipOptions: Buffer.alloc(pick([0, 0, 4, 40])),
      fragment: pick([0, 0x4000, 0x4000, 0x2000]),
      patch: (ip) => {
        const udp = (ip[0] ?? 0) >> 4 === 6 ? 40 : ((ip[0] ?? 0) & 15) * 4;
        if (lie) ip.writeUInt16BE(8 + pick(LENGTHS), udp + 4);
      },
    });
  });
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
    const chosen = selected(frames, link, captureFilter(NEEDS, NOW));
    const expected = frames.map((bytes, i) => (wanted(bytes, link) ? i : -1)).filter((i) => i >= 0);
    assert.ok(expected.length > 0);
    assert.deepEqual([...chosen], expected);
  }

  it('merges ranges and does not depend on the order of the needs', () => {
    const text = captureFilter(NEEDS, NOW);
    assert.equal(captureFilter([...NEEDS].reverse(), NOW), text);
    assert.match(text, /udp dst portrange 20000-20020 and udp\[4:2\] = 40/u);
    assert.doesNotMatch(text, /20005|20010/u);
    assert.equal(captureFilter([...NEEDS, ...NEEDS], NOW), text);
  });

  it('is written as expected', () => {
    assert.equal(
      captureFilter([{ protocol: 'tcp-syn', ports: [7000, 7000] }], NOW),
      '(ip and ip[6:2] & 0x3fff = 0 and (tcp dst port 7000 and tcp[13] & 0x17 = 0x02))' +
        ' or (ip6 and ((ip6[6] = 6 and ip6[42:2] = 7000 and ip6[53] & 0x17 = 0x02)' +
        ' or (ip6[6] = 0 or ip6[6] = 43 or ip6[6] = 60)))',
    );
  });

  it('writes lengths and hints as expected, each value once and as 32 bits', () => {
    const spa: CaptureNeed = {
      ...{ protocol: 'udp', ports: [62_201, 62_201], payloadLength: [192, 480] },
      hints: () => [-1, 0xbeef, -1, 0xffffffff],
    };
    assert.equal(
      captureFilter([spa], NOW),
      '(ip and ip[6:2] & 0x3fff = 0 and (udp dst port 62201 and (udp[4:2] >= 200 and udp[4:2] <= 488)' +
        ' and ((udp[8:4] ^ udp[12:4]) = 0xffffffff or (udp[8:4] ^ udp[12:4]) = 0x0000beef)))' +
        ' or (ip6 and ((ip6[6] = 17 and ip6[42:2] = 62201 and (ip6[44:2] >= 200 and ip6[44:2] <= 488)' +
        ' and ((ip6[48:4] ^ ip6[52:4]) = 0xffffffff or (ip6[48:4] ^ ip6[52:4]) = 0x0000beef))' +
        ' or (ip6[6] = 0 or ip6[6] = 43 or ip6[6] = 60)))',
    );
  });

  it('keeps needs with different hints apart, and merges those with the same', () => {
    const need = (low: number, ...hints: number[]): CaptureNeed => ({
      ...{ protocol: 'udp', ports: [low, low + 1], payloadLength: [192, 480] },
      hints: () => hints,
    });
    const text = captureFilter([need(10, 1, 2), need(12, 1, 3), need(14, 2, 1), need(12, 2, 1, 1)], NOW);
    const groups = [...text.matchAll(/udp dst portrange (\S+)|udp\[12:4\]\) = 0x0+(\d)/gu)];
    assert.deepEqual(
      groups.map(([, ports, hint]) => ports ?? hint),
      ['10-15', '1', '2', '12-13', '1', '3'],
    );
    assert.equal(captureFilter([need(12, 3, 1), need(10, 2, 1), need(12, 1, 2), need(14, 1, 2)], NOW), text);
  });

  it('asks for the hints of its time, and changes only when they do', () => {
    const hints = (timeMs: number): number[] => [-1, 0, 1].map((i) => Math.floor(timeMs / HOUR_MS) + i);
    const at = (timeMs: number): string =>
      captureFilter([{ protocol: 'udp', ports: [1, 1], payloadLength: [192, 480], hints }], timeMs);
    assert.equal(at(NOW + HOUR_MS - 1), at(NOW));
    assert.notEqual(at(NOW + HOUR_MS), at(NOW));
    assert.notEqual(at(NOW - 1), at(NOW));
  });

  it('leaves needs out that no packet can meet', () => {
    const wanting: readonly CaptureNeed[] = [
      { protocol: 'udp', ports: [1, 1], hints: () => [] },
      { protocol: 'udp', ports: [1, 1], payloadLength: [0, 7], hints: () => [1] },
      { protocol: 'udp', ports: [1, 1], payloadLength: 7, hints: () => [1] },
    ];
    assert.equal(captureFilter(wanting, NOW), captureFilter([], NOW));
    assert.equal(captureFilter([...wanting, ...NEEDS], NOW), captureFilter(NEEDS, NOW));
  });

  it('compiles to a program that the kernel takes, for as many needs as anybody has', () => {
    const many = Array.from({ length: 60 }, (_, i): CaptureNeed => {
      if (i % 2 === 0) return { protocol: 'tcp-syn', ports: [1000 + 7 * i, 1001 + 7 * i] };
      const hints = (): number[] => HINTS.map((hint) => hint ^ i);
      return { protocol: 'udp', ports: [62_000 + i, 62_000 + i], payloadLength: [192, 480], hints };
    });
    const { status, stdout } = tcpdump('-y', 'EN10MB', '-d', captureFilter(many, NOW));
    assert.equal(status, 0);
    // A longer one would be run by libpcap itself, after the copy.
    assert.ok(String(stdout).trim().split('\n').length <= 4096);
  });

  it('compiles for every link type', () => {
    for (const type of ['EN10MB', 'RAW', 'LINUX_SLL', 'LINUX_SLL2', 'NULL']) {
      for (const needs of [NEEDS, [], NEEDS.slice(0, 1), NEEDS.slice(1, 2)]) {
        const { status, stderr } = tcpdump('-y', type, '-d', captureFilter(needs, NOW));
        assert.equal(status, 0, `${type}: ${String(stderr)}`);
      }
    }
  });

  it('selects nothing when nothing is needed', () => {
    assert.deepEqual([...selected(variety({}), LINK_ETHERNET, captureFilter([], NOW))], []);
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

    it(`selects hints exactly as the needs say, ${name}`, () => {
      const below = random(link + 1);
      selectsExactly([...datagrams({ link }, below), ...datagrams({ link, ...V6 }, below)], link);
    });

    it(`misses no knock beside datagrams whose length lies, ${name}`, () => {
      const below = random(link + 77);
      const frames = [...datagrams({ link }, below, true), ...datagrams({ link, ...V6 }, below, true)];
      const chosen = selected(frames, link, captureFilter(NEEDS, NOW));
      const expected = frames.flatMap((bytes, i) => (wanted(bytes, link) ? [i] : []));
      assert.ok(expected.length > 0);
      assert.deepEqual(
        expected.filter((i) => !chosen.has(i)),
        [],
      );
    });
  }

  it('lets every packet with IPv6 extension headers pass, and no fragment', () => {
    const frames = [...extended(), frame({ ...V6, extensions: [{ kind: 44 }], dstPort: 9000 })];
    const chosen = selected(frames, LINK_ETHERNET, captureFilter(NEEDS, NOW));
    assert.deepEqual([...chosen], [0, 1, 2, 3, 4, 5]);
    assert.deepEqual(
      frames.map((bytes) => wanted(bytes, LINK_ETHERNET)),
      [true, true, true, true, true, true, false],
    );
  });
});
