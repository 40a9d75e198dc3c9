// Plain sequences: a truth table of what opens (protocols/knockd.md, top), sweeps, and many sources at a time
// (attacks 4, 6, 8 and 10). A row of the table is a line of packets:
//   7000 a new SYN; u7000 a datagram; ~7000 the last SYN or datagram to that port once more; A:7000 of source A;
//   sa7000, ack7000, rst7000, fin7000 with those flags; +900 milliseconds pass.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ACK, FIN, RST, SYN, type PacketView } from '../../lib/packet/view.ts';
import type { Scheme } from '../../lib/scheme/scheme.ts';
import { sequence, sequenceBits, type KnockPort } from '../../lib/scheme/sequence.ts';
import { modelSequence, verdictOf, type Verdict } from '../support/model-schemes.ts';
import { allPorts, datagram, later, NOW, syn } from '../support/packets.ts';
import { random } from '../support/random.ts';
import { NO_HISTORY } from '../support/history.ts';

const SOURCES: Readonly<Record<string, string>> = {
  A: '192.0.2.7',
  B: '192.0.2.8',
  C: '198.51.100.7',
  D: '2001:db8::7',
  E: '2001:db8::8',
};
const FLAGS: Readonly<Record<string, number>> = { sa: SYN | ACK, ack: ACK, rst: RST, fin: FIN };

/** Sequences of most rows. `mix` and `run` share their beginning; `back` is `run` the other way round. */
const DOORS = {
  run: { sequence: ['7000/tcp', '8000/tcp', '9000/tcp'] },
  back: { sequence: ['9000/tcp', '8000/tcp', '7000/tcp'] },
  mix: { sequence: ['7000/tcp', '4000/udp', '8000/tcp', '3000/udp'] },
  long: { sequence: ['7000/tcp', '8000/tcp', '1000/tcp', '2000/tcp'] },
  twin: { sequence: ['5000/tcp', '5000/tcp', '6000/tcp'] },
  datagrams: { sequence: ['2200/udp', '1100/udp', '3300/udp'] },
  pair: { sequence: ['1500/udp', '1500/udp', '1400/udp'] },
} as const;

const ROWS: readonly [number: number, what: string, packets: string, opens: string][] = [
  [1, 'the sequence', '7000 8000 9000', 'run'],
  [2, 'the sequence backwards is another one', '9000 8000 7000', 'back'],
  [3, 'TCP and UDP mixed', '7000 u4000 8000 u3000', 'mix'],
  [4, 'UDP alone', 'u2200 u1100 u3300', 'datagrams'],
  [5, 'a missing knock', '7000 9000', ''],
  [6, 'UDP where TCP is asked for', '7000 u8000 9000', ''],
  [7, 'TCP where UDP is asked for', 'u2200 1100 u3300', ''],
  [8, 'a wrong port of another door in between', '7000 8000 5000 9000', ''],
  [9, 'a port outside all doors in between', '7000 8000 22 9000', ''],
  [10, 'a datagram to a port outside all doors in between', '7000 u53 8000 9000', ''],
  [11, 'the lowest and highest port in between', '7000 1 8000 9000 7000 65535 8000 9000', ''],
  [12, 'a mistake, then the whole sequence', '7000 8000 22 7000 8000 9000', 'run'],
  [13, 'a mistake that is the first knock again', '7000 7000 8000 9000', 'run'],
  [14, 'the last two swapped', '7000 9000 8000', ''],
  [15, 'the first two swapped', '8000 7000 9000', ''],
  [16, 'a retransmit of the first knock', '7000 ~7000 8000 9000', 'run'],
  [17, 'retransmits of every knock at once', '7000 ~7000 ~7000 8000 ~8000 9000 ~9000', 'run'],
  [18, 'a retransmit of an earlier knock', '7000 8000 ~7000 9000', 'run'],
  [19, 'retransmits a second later, when all was said', '7000 8000 9000 +1000 ~7000 ~8000 ~9000', 'run'],
  [20, 'such retransmits with the connection in between', '7000 8000 9000 22 +900 ~7000 ~8000 ~9000', 'run'],
  [21, 'the whole sequence twice', '7000 8000 9000 7000 8000 9000', 'run run'],
  [22, 'a new attempt on a port that was right', '7000 8000 8000 9000', ''],
  [23, 'a retransmitted mistake', '22 7000 ~22 8000 9000', ''],
  [24, 'the same datagram twice', 'u2200 ~2200 u1100 ~1100 ~2200 u3300', 'datagrams'],
  [
    25,
    'the same datagrams again, as a new knock',
    'u2200 u1100 u3300 ~2200 ~1100 ~3300',
    'datagrams datagrams',
  ],
  [26, 'the same port twice, by two attempts', '5000 5000 6000', 'twin'],
  [27, 'the same port twice, by one and its retransmit', '5000 ~5000 6000', ''],
  [28, 'the same port three times', '5000 5000 5000 6000', ''],
  [29, 'the same port twice by UDP, where nobody retransmits', 'u1500 ~1500 u1400', 'pair'],
  [30, 'two doors with one beginning, the shorter way', '7000 8000 9000', 'run'],
  [31, 'two doors with one beginning, the longer way', '7000 8000 1000 2000', 'long'],
  [32, 'from one door into another that begins with its last knock', '7000 8000 9000 8000 7000', 'run back'],
  [33, 'a door begun in the middle of another', '7000 8000 7000 u4000 8000 u3000', 'mix'],
  [34, 'answers and ends of connections in between', '7000 sa8000 8000 ack22 rst7000 fin9000 9000', 'run'],
  [35, 'answers and ends of connections alone', 'sa7000 rst8000 fin9000 ack7000 ack8000 ack9000', ''],
  [36, 'another source in between', 'A:7000 B:22 A:8000 B:22 A:9000', 'run'],
  [37, 'a sequence of two sources', 'A:7000 B:8000 A:9000', ''],
  [38, 'two sources side by side', 'A:7000 B:7000 A:8000 B:8000 A:9000 B:9000', 'run run'],
  [
    39,
    'one in the middle while the first of all finishes',
    'A:7000 B:7000 B:8000 A:8000 A:9000 B:9000',
    'run run',
  ],
  [40, 'one in the middle while the first of all fails', 'A:7000 B:7000 B:8000 A:22 B:9000', 'run'],
  [41, 'IPv4 and IPv6 side by side', 'A:7000 D:9000 E:7000 A:8000 D:8000 E:22 A:9000 D:7000', 'run back'],
  [42, 'a retransmit that another source sends', 'A:7000 A:8000 B:~7000 A:9000', 'run'],
  [43, 'exactly at the time-out', '7000 8000 +10000 9000', 'run'],
  [44, 'a millisecond after the time-out', '7000 8000 +10001 9000', ''],
  [45, 'the time-out runs from the first knock', '7000 +6000 8000 +6000 9000', ''],
  [46, 'after the time-out, from the beginning', '7000 8000 +10001 7000 8000 9000', 'run'],
  [47, 'a retransmit does not give more time', '7000 +6000 ~7000 8000 +6000 9000', ''],
  [48, 'a clock that is set back half an hour', '7000 8000 +-1800000 9000', ''],
  [49, 'and the whole sequence after that', '7000 8000 +-1800000 7000 8000 9000', 'run'],
  [
    50,
    'retransmits of the TCP half of a mixed one, fresh datagrams between',
    '7000 u4000 8000 u3000 ~7000 u4000 ~8000 u3000',
    'mix',
  ],
];

function packetsOf(line: string): PacketView[] {
  const last = new Map<string, PacketView>();
  let at = NOW;
  let srcPort = 40_000;
  return line.split(' ').flatMap((word) => {
    if (word.startsWith('+')) {
      at += Number(word.slice(1));
      return [];
    }
    const [, source = 'A', kind = '', digits = ''] =
      /^(?:([A-E]):)?(~|u|sa|ack|rst|fin)?(\d+)$/u.exec(word) ?? [];
    const src = SOURCES[source];
    assert.ok(src !== undefined && digits !== '', word);
    const before = last.get(digits);
    if (kind === '~') {
      assert.ok(before !== undefined, word);
      const again = later(before, at);
      if (source !== 'A') Object.assign(again, { src3: syn({ src, port: 1 }).src3 });
      return [again];
    }
    srcPort += 1;
    const options = { src, port: Number(digits), at, srcPort };
    const packet = kind === 'u' ? datagram(options) : syn({ ...options, flags: FLAGS[kind] ?? SYN });
    last.set(digits, packet);
    return [packet];
  });
}

function verdicts(scheme: Scheme, packets: readonly PacketView[]): Verdict[] {
  return packets
    .map((packet) => verdictOf(scheme.match(packet, NO_HISTORY)))
    .filter((verdict) => verdict !== null);
}

describe('sequence', () => {
  for (const [number, what, packets, opens] of ROWS) {
    it(`${number}. ${what}: ${packets} opens ${opens === '' ? 'nothing' : opens}`, () => {
      assert.equal(verdicts(sequence({ clients: DOORS }), packetsOf(packets)).join(' '), opens);
    });
  }

  it('numbers its rows', () => {
    assert.deepEqual(
      ROWS.map(([number]) => number),
      ROWS.map((_, i) => i + 1),
    );
  });

  it('gives each client its own time', () => {
    const scheme = sequence({
      clients: {
        slow: { sequence: ['1/tcp', '9/tcp', '2/tcp'], timeoutMs: 60_000 },
        quick: { sequence: ['3/tcp', '9/tcp', '4/tcp'], timeoutMs: 500 },
      },
    });
    const said = verdicts(scheme, packetsOf('1 +59000 9 +1000 2 3 9 +501 4 3 9 +500 4'));
    assert.deepEqual(said, ['slow', 'quick']);
  });

  it('knows a retransmit of any of the eight latest knocks of a long sequence', () => {
    const ports = Array.from({ length: 32 }, (_, i) => 1000 + ((i * 7919) % 60_000));
    const scheme = (): Scheme =>
      sequence({ clients: { long: { sequence: ports.map((port) => `${port}/tcp`) } } });
    const packets = ports.map((port) => syn({ port }));
    for (let back = 1; back <= 8; back += 1) {
      const again = packets[20 - back] ?? assert.fail();
      assert.deepEqual(verdicts(scheme(), [...packets.slice(0, 20), again, ...packets.slice(20)]), ['long']);
    }
  });
});

describe('sequence, many sources', () => {
  const doors = { run: DOORS.run, back: DOORS.back };
  const fifty: readonly [where: string, address: (i: number) => string][] = [
    ['in one /24', (i) => `192.0.2.${i + 1}`],
    ['all over IPv4', (i) => `${10 + i}.${(i * 37) % 256}.${(i * 91) % 256}.${i + 1}`],
    ['that differ in the first octet alone', (i) => `${i + 1}.2.3.4`],
    ['in one /64, numbered from 1', (i) => `2001:db8::${(i + 1).toString(16)}`],
    [
      'in one /64, that differ in high bits of the last word',
      (i) => `2001:db8::${((i + 1) << 4).toString(16)}:1`,
    ],
    ['in one /64, that differ in the higher half', (i) => `2001:db8::${(i + 1).toString(16)}00:0:0:1`],
    ['in fifty networks of one /48', (i) => `2001:db8:1:${(i << 8).toString(16)}::1`],
  ];
  for (const [where, address] of fifty) {
    it(`opens for fifty ${where}, knock by knock in turn`, () => {
      const packets = [7000, 8000, 9000].flatMap((port) =>
        Array.from({ length: 50 }, (_, i) => syn({ src: address(i), port })),
      );
      // Twenty tables: a table draws its own hash. One in ten million puts more of them into a set than it has room for.
      let missing = 0;
      for (let run = 0; run < 20; run += 1)
        missing += 50 - verdicts(sequence({ clients: doors }), packets).length;
      assert.ok(missing <= 2, `${missing} of 1000 are missing`);
    });
  }

  it('opens for a source on several doors at once', () => {
    const clients = Object.fromEntries(
      Array.from({ length: 16 }, (_, i) => [
        `c${i}`,
        { sequence: ['7000/tcp', `${100 + i}/tcp`, `${50 - i}/tcp`] },
      ]),
    );
    for (let i = 0; i < 16; i += 1) {
      const packets = packetsOf(`7000 ${100 + i} ${50 - i}`);
      assert.deepEqual(verdicts(sequence({ clients }), packets), [`c${i}`]);
    }
  });
});

describe('sequence, sweeps', () => {
  const clients = {
    ...{ run: DOORS.run, back: DOORS.back },
    four: { sequence: ['1000/tcp', '2000/tcp', '3000/tcp', '4000/tcp'] },
    four2: { sequence: ['4444/tcp', '2222/tcp', '3333/tcp', '1111/tcp'] },
    udp: { sequence: ['2200/udp', '3300/udp', '4400/udp'] },
    udp2: { sequence: ['4400/udp', '3300/udp', '2200/udp'] },
  };
  const SWEEPS = 100;

  for (const [name, packet] of [
    ['TCP', syn({ port: 1 })],
    ['UDP', datagram({ port: 1 })],
  ] as const) {
    it(`opens nothing to ${name} sweeps of all ports: up, down, each port twice, and ${SWEEPS} times at random`, function () {
      this.timeout(120_000);
      const scheme = sequence({ clients });
      const rng = random(5);
      const sweep = (ports: readonly number[], probes = 1): void => {
        for (const port of ports) {
          for (let probe = 0; probe < probes; probe += 1) {
            packet.dstPort = port;
            if (name === 'TCP') packet.seq = (packet.seq + 12_345) | 0;
            packet.timeMs += 0.01;
            assert.equal(scheme.match(packet, NO_HISTORY), null);
          }
        }
      };
      sweep(allPorts());
      sweep(allPorts().toReversed());
      sweep(allPorts(), 2);
      for (let run = 0; run < SWEEPS; run += 1) sweep(allPorts(rng));
      // The scheme is awake.
      const knocks = name === 'TCP' ? [7000, 8000, 9000] : [2200, 3300, 4400];
      const after = knocks.map((port) =>
        Object.assign(later(packet, packet.timeMs), { dstPort: port, seq: port }),
      );
      assert.equal(verdicts(scheme, after).length, 1);
    });
  }

  it("opens nothing to a sweep of the doors' own ports while one wrong port lies between two knocks", () => {
    // Every order of the six ports, which is what a scanner with a short list tries.
    const ports = ['7000', '8000', '9000', '22', '80', '443'];
    const scheme = sequence({ clients: { run: DOORS.run } });
    let opened = 0;
    for (const order of orders(ports)) {
      const isKnock = order.join(' ').includes('7000 8000 9000');
      const said = verdicts(scheme, packetsOf(order.join(' ')));
      assert.equal(said.length, isKnock ? 1 : 0, order.join(' '));
      opened += said.length;
      verdicts(scheme, packetsOf('1'));
    }
    // Those that contain the sequence whole are the knock itself: 4! of 6!, as for anyone who guesses three ports.
    assert.equal(opened, 24);
  });

  it('is opened by a list of every order of three ports (a de Bruijn sequence): guessing costs what it should', () => {
    const scheme = sequence({ clients: { run: DOORS.run } });
    const all = deBruijn(['7000', '8000', '9000'], 3);
    assert.equal(all.length, 29);
    assert.deepEqual(verdicts(scheme, packetsOf(all.join(' '))), ['run']);
    assert.deepEqual(verdicts(scheme, packetsOf(deBruijn(['7000', '8000'], 3).join(' '))), []);
    assert.deepEqual(verdicts(scheme, packetsOf(all.join(' 22 '))), []);
  });

  function orders<T>(values: readonly T[]): T[][] {
    if (values.length === 0) return [[]];
    return values.flatMap((value, i) => orders(values.toSpliced(i, 1)).map((rest) => [value, ...rest]));
  }

  /** The shortest line that holds every word of `length` letters (greedy: prefer the last letter). */
  function deBruijn(letters: readonly string[], length: number): string[] {
    const line = Array.from({ length: length - 1 }, () => letters[0] ?? '');
    const seen = new Set<string>();
    for (;;) {
      const next = letters.toReversed().find((letter) => {
        return !seen.has([...line.slice(1 - length), letter].join());
      });
      if (next === undefined) return line;
      line.push(next);
      seen.add(line.slice(-length).join());
    }
  }
});

describe('sequence, against a slow model', () => {
  it('agrees on any stream of packets', function () {
    this.timeout(300_000);
    const knock = fc.record({
      port: fc.integer({ min: 1, max: 4 }),
      protocol: fc.constantFrom('tcp' as const, 'tcp' as const, 'udp' as const),
    });
    const client = fc.record({
      knocks: fc.array(knock, { minLength: 2, maxLength: 4 }),
      timeoutMs: fc.constantFrom(1000, 3000),
    });
    const clients = fc
      .array(client, { minLength: 1, maxLength: 4 })
      .map((list) => Object.fromEntries(list.map((one, i) => [`c${i}`, one])))
      .filter((all) => schemeOf(all) !== null);
    const move = fc.record({
      source: fc.constantFrom('192.0.2.7', '198.51.100.8', '2001:db8::7'),
      knock,
      srcPort: fc.constantFrom(40_000, 40_000, 40_001),
      again: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.nat(6)),
      flags: fc.constantFrom(SYN, SYN, SYN, SYN, SYN, ACK),
      waitMs: fc.oneof(
        { weight: 8, arbitrary: fc.nat(20) },
        fc.constantFrom(999, 1001, 3000, -900, -86_400_000),
      ),
    });
    /** A client's whole sequence now and then, or nothing would ever open. */
    const follow = fc.option(fc.nat(3), { freq: 2 });
    let opened = 0;
    fc.assert(
      fc.property(clients, fc.array(fc.tuple(move, follow), { maxLength: 25 }), (all, moves) => {
        const scheme = schemeOf(all) ?? assert.fail();
        const model = modelSequence(all);
        const sent: PacketView[] = [];
        let at = NOW;
        for (const [{ source, knock: one, srcPort, again, flags, waitMs }, whose] of moves) {
          at += waitMs;
          const planned = all[`c${whose ?? 9}`]?.knocks ?? [one];
          for (const { port, protocol } of planned) {
            const repeat = again > 0 && planned.length === 1 ? sent.at(-again) : undefined;
            const options = { src: source, port, srcPort };
            const fresh =
              protocol === 'udp' ? datagram(options) : syn({ ...options, seq: sent.length, flags });
            const packet = later(repeat ?? fresh, at);
            sent.push(packet);
            const expected = model(packet);
            if (expected !== null) opened += 1;
            assert.equal(verdictOf(scheme.match(packet, NO_HISTORY)), expected);
          }
        }
      }),
      { numRuns: 500 },
    );
    assert.ok(opened > 30, `only ${opened} openings: the streams try nothing`);
  });

  function schemeOf(
    all: Readonly<Record<string, { knocks: readonly KnockPort[]; timeoutMs: number }>>,
  ): Scheme | null {
    const clients = Object.entries(all).map(([name, { knocks, timeoutMs }]) => [
      name,
      { sequence: knocks, timeoutMs },
    ]);
    try {
      return sequence({ clients: Object.fromEntries(clients) as Parameters<typeof sequence>[0]['clients'] });
    } catch {
      return null;
    }
  }
});

describe('sequenceBits', () => {
  it('counts a port and a protocol per knock', () => {
    const knocks = (count: number): KnockPort[] =>
      Array.from({ length: count }, () => ({ port: 1, protocol: 'tcp' }));
    assert.deepEqual(
      [2, 3, 4, 32].map((count) => sequenceBits(knocks(count))),
      [33, 50, 67, 543],
    );
  });
});
