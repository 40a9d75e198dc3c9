// The one thing that unauthenticated packets may fill: its size is fixed, and a flood pushes out its neighbours'
// beginnings at most (attack 9).

import assert from 'node:assert/strict';
import type { PacketView } from '../../lib/packet/view.ts';
import { AttemptTable } from '../../lib/scheme/attempts.ts';
import { sequence } from '../../lib/scheme/sequence.ts';
import type { Scheme } from '../../lib/scheme/scheme.ts';
import { heapUsed } from '../support/heap.ts';
import { later, NOW, setSource, syn } from '../support/packets.ts';
import { random } from '../support/random.ts';
import { NO_HISTORY } from '../support/history.ts';

const FLOOD = 1_000_000;
const SLOTS_PER_GROUP = 256;
const WAYS = 16;
const TIMEOUT_MS = 10_000;

/** Attempts of `packet`'s source, finished ones too. */
function attemptsOf(table: AttemptTable, packet: PacketView): number[] {
  const set = table.setOf(packet);
  const found: number[] = [];
  for (let slot = table.next(set, set, packet); slot >= 0; slot = table.next(set, slot + 1, packet))
    found.push(slot);
  return found;
}

function begin(table: AttemptTable, packet: PacketView, door = 1): void {
  table.start(table.setOf(packet), door, packet, TIMEOUT_MS);
}

/** One packet after the other from ever new sources, in the same object. */
function flood(
  count: number,
  source: (packet: PacketView, i: number) => void,
  take: (packet: PacketView) => void,
): void {
  const packet = syn({ port: 7000 });
  for (let i = 0; i < count; i += 1) {
    source(packet, i);
    packet.seq = i;
    take(packet);
  }
}

describe('AttemptTable', () => {
  it('finds the attempts of a source and of no other, until their time is over', () => {
    const table = new AttemptTable();
    const packet = syn({ src: '192.0.2.7', port: 7000 });
    begin(table, packet, 3);
    begin(table, packet, 4);
    assert.deepEqual(
      attemptsOf(table, packet).map((slot) => [table.door(slot), table.stage(slot)]),
      [
        [3, 1],
        [4, 1],
      ],
    );
    for (const src of ['192.0.2.8', '192.0.3.7', '2001:db8::7']) {
      assert.deepEqual(attemptsOf(table, syn({ src, port: 7000 })), []);
    }
    assert.equal(attemptsOf(table, later(packet, NOW + TIMEOUT_MS)).length, 2);
    assert.equal(attemptsOf(table, later(packet, NOW + TIMEOUT_MS + 1)).length, 0);
  });

  it('tells addresses of one set apart by every word', () => {
    const packet = syn({ src: '2001:db8::7', port: 1 });
    for (const word of ['src0', 'src1', 'src2', 'src3'] as const) {
      const table = new AttemptTable();
      begin(table, packet);
      const other = later(packet, NOW);
      // Search for an address that shares the set and differs in this word alone.
      do other[word] = (other[word] + 1) | 0;
      while (table.setOf(other) !== table.setOf(packet));
      assert.deepEqual(attemptsOf(table, other), [], word);
      assert.equal(attemptsOf(table, packet).length, 1);
    }
  });

  it('counts knocks, and knows the eight latest of them again', () => {
    const table = new AttemptTable();
    const knocks = Array.from({ length: 20 }, (_, i) => syn({ port: 1000 + i, seq: i }));
    begin(table, knocks[0] ?? assert.fail());
    const slot = attemptsOf(table, knocks[0] ?? assert.fail())[0] ?? assert.fail();
    for (const knock of knocks.slice(1)) table.advance(slot, knock);
    assert.equal(table.stage(slot), 20);
    assert.deepEqual(
      knocks.map((knock) => table.hasSeen(slot, knock)),
      knocks.map((_, i) => i >= 12),
    );
    for (const [name, value] of Object.entries({ seq: 77, srcPort: 77, dstPort: 77, protocol: 17 })) {
      const other = Object.assign(later(knocks[19] ?? assert.fail(), NOW), { [name]: value });
      assert.equal(table.hasSeen(slot, other), false, name);
    }
  });

  it('does not take the knocks of an earlier attempt in the same slot for its own', () => {
    const table = new AttemptTable();
    const first = syn({ port: 1 });
    begin(table, first);
    const slot = attemptsOf(table, first)[0] ?? assert.fail();
    table.advance(slot, syn({ port: 2, seq: 2 }));
    table.finish(slot);
    table.remove(slot);
    begin(table, syn({ port: 3, seq: 3 }));
    assert.deepEqual(attemptsOf(table, first), [slot]);
    assert.deepEqual([table.isDone(slot), table.stage(slot)], [false, 1]);
    assert.equal(table.hasSeen(slot, syn({ port: 2, seq: 2 })), false);
  });

  it('gives up the oldest of those that have come least far, finished ones first', () => {
    const table = new AttemptTable();
    const packet = syn({ port: 1 });
    for (let door = 0; door < WAYS; door += 1) begin(table, later(packet, NOW + door), door);
    const slots = attemptsOf(table, packet);
    for (const slot of slots)
      if (table.door(slot) !== 5 && table.door(slot) !== 6) table.advance(slot, packet);
    const doors = (): number[] =>
      attemptsOf(table, packet)
        .map((slot) => table.door(slot))
        .sort((a, b) => a - b);
    const without = (...gone: number[]): number[] =>
      Array.from({ length: 20 }, (_, i) => i).filter((i) => !gone.includes(i));

    begin(table, later(packet, NOW + 100), 16);
    assert.deepEqual(doors(), without(5, 17, 18, 19));
    table.finish(slots.find((slot) => table.door(slot) === 9) ?? assert.fail());
    begin(table, later(packet, NOW + 101), 17);
    assert.deepEqual(doors(), without(5, 9, 18, 19));
    begin(table, later(packet, NOW + 102), 18);
    assert.deepEqual(doors(), without(5, 6, 9, 19));
  });

  it('takes the slot of an attempt whose time is over before any other', () => {
    const table = new AttemptTable();
    const packet = syn({ port: 1 });
    for (let door = 0; door < WAYS; door += 1)
      begin(table, later(packet, NOW + (door === 7 ? 0 : 5000)), door);
    for (const slot of attemptsOf(table, packet)) if (table.door(slot) === 7) table.advance(slot, packet);
    const late = later(packet, NOW + TIMEOUT_MS + 1);
    begin(table, late, 99);
    assert.equal(attemptsOf(table, late).length, WAYS);
    assert.ok(attemptsOf(table, late).every((slot) => table.door(slot) !== 7));
  });

  it('does not keep what is left from before the clock was set back', () => {
    const table = new AttemptTable();
    const packet = syn({ port: 1 });
    begin(table, packet);
    assert.equal(attemptsOf(table, later(packet, NOW - TIMEOUT_MS)).length, 1);
    assert.equal(attemptsOf(table, later(packet, NOW - TIMEOUT_MS - 1)).length, 0);
  });

  for (const [prefix, address, source] of [
    [
      '/24',
      '198.51.100.7',
      (packet: PacketView, i: number) => (packet.src3 = (packet.src3 & ~0xff) | (i & 0xff)),
    ],
    [
      '/56',
      '2001:db8:7:700::7',
      (packet: PacketView, i: number) => {
        packet.src1 = (packet.src1 & ~0xff) | (i & 0xff);
        packet.src2 = Math.imul(i, 0x9e3779b1);
        packet.src3 = i;
      },
    ],
  ] as const) {
    it(`lets a flood from one ${prefix} have one group of slots, and leaves the others alone`, () => {
      const table = new AttemptTable();
      const rng = random(3);
      // First knocks of two hundred prefixes of either family, which a flood could push out.
      const bystanders = Array.from({ length: 200 }, (_, i) =>
        syn({
          port: 1,
          src:
            i % 2 === 0 ? `10.${rng(256)}.${i}.${rng(256)}` : `2001:db8:${i}:${rng(65_536).toString(16)}::1`,
        }),
      );
      for (const packet of bystanders) begin(table, packet);
      const groups = new Set<number>();
      flood(
        100_000,
        (packet, i) => {
          if (i === 0) setSource(packet, address);
          source(packet, i);
        },
        (packet) => {
          groups.add(Math.floor(table.setOf(packet) / SLOTS_PER_GROUP));
          begin(table, packet);
        },
      );
      assert.equal(groups.size, 1);
      const left = bystanders.filter((packet) => attemptsOf(table, packet).length > 0).length;
      // One of 256 groups is the flood's; ten neighbours in it would be one chance in ten million.
      assert.ok(left > 190, `${left} of 200 left`);
    });
  }

  it('spreads the addresses of one network over all sets of its group', () => {
    const sixes: readonly [what: string, address: (i: number) => string][] = [
      ['low octet', (i) => `192.0.2.${i}`],
      ['low bits', (i) => `2001:db8::${i.toString(16)}`],
      ['high bits of the last word', (i) => `2001:db8::${(i << 8).toString(16)}:1`],
      ['third word', (i) => `2001:db8::${i.toString(16)}00:0:0:1`],
    ];
    for (const [what, address] of sixes) {
      const counts = new Map<number, number>();
      const table = new AttemptTable();
      for (let i = 0; i < 256; i += 1) {
        const set = table.setOf(syn({ src: address(i), port: 1 }));
        counts.set(set, (counts.get(set) ?? 0) + 1);
      }
      assert.ok(counts.size >= 14, `${what}: ${counts.size} of 16 sets`);
      assert.ok(Math.max(...counts.values()) < 48, `${what}: ${Math.max(...counts.values())} in one set`);
    }
  });

  it('spreads networks over all groups', () => {
    const networks: readonly [what: string, address: (i: number) => string][] = [
      ['first octet', (i) => `${i % 224}.${i >> 8}.1.1`],
      ['third octet', (i) => `10.${i >> 8}.${i & 255}.1`],
      ["a provider's /32", (i) => `2001:db8:${i.toString(16)}::1`],
      ["a site's /48", (i) => `2001:db8:1:${((i << 8) & 0xffff).toString(16)}::1`],
    ];
    for (const [what, address] of networks) {
      const table = new AttemptTable();
      const groups = new Set<number>();
      for (let i = 0; i < 1024; i += 1)
        groups.add(Math.floor(table.setOf(syn({ src: address(i), port: 1 })) / SLOTS_PER_GROUP));
      // 1,024 draws leave 5 of 256 groups empty on average; 256 (the /48 has no more) leave 94.
      assert.ok(
        groups.size >= (what.includes('/48') || what.includes('first') ? 130 : 230),
        `${what}: ${groups.size} of 256 groups`,
      );
    }
  });
});

describe('a flood of first knocks', () => {
  const clients = { run: { sequence: ['7000/tcp', '9000/tcp', '8000/tcp'] } };
  const anywhere =
    (rng = random(9)) =>
    (packet: PacketView, i: number): void => {
      if (i % 2 === 0) {
        setSource(packet, '192.0.2.1');
        packet.src3 = rng(2 ** 31) | 0;
      } else {
        setSource(packet, '2001:db8::1');
        packet.src1 = rng(2 ** 31) | 0;
        packet.src3 = i;
      }
    };

  function knock(scheme: Scheme, port: number): string | null {
    const match = scheme.match(syn({ src: '203.0.113.5', port }), NO_HISTORY);
    return match?.kind === 'request' ? match.client : null;
  }

  it(`of ${FLOOD} sources neither pushes out whoever has come further, nor makes memory grow`, function () {
    this.timeout(300_000);
    const scheme = sequence({ clients });
    flood(10_000, anywhere(), (packet) => scheme.match(packet, NO_HISTORY));
    knock(scheme, 7000);
    knock(scheme, 9000);
    const before = heapUsed();
    flood(FLOOD, anywhere(), (packet) => scheme.match(packet, NO_HISTORY));
    const grown = heapUsed() - before;
    assert.ok(grown < 500_000, `grew by ${grown} bytes`);
    assert.equal(knock(scheme, 8000), 'run');
  });

  it('does not keep a whole knock from opening, sent without a pause in the midst of it', () => {
    const scheme = sequence({ clients });
    const source = anywhere();
    flood(200_000, source, (packet) => scheme.match(packet, NO_HISTORY));
    for (let round = 0; round < 100; round += 1) {
      flood(1000, source, (packet) => scheme.match(packet, NO_HISTORY));
      assert.deepEqual(
        [7000, 9000, 8000].map((port) => knock(scheme, port)),
        [null, null, 'run'],
        `round ${round}`,
      );
    }
  });

  it('from the own /24 does not push out whoever has come further', () => {
    const scheme = sequence({ clients });
    knock(scheme, 7000);
    knock(scheme, 9000);
    flood(
      100_000,
      (packet, i) => {
        setSource(packet, `203.0.113.${6 + (i % 200)}`);
      },
      (packet) => scheme.match(packet, NO_HISTORY),
    );
    assert.equal(knock(scheme, 8000), 'run');
  });
});
