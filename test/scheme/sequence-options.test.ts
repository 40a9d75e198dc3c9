// Which plain sequences are taken, which are warned about, and what is said about the others.

import assert from 'node:assert/strict';
import {
  parseKnockPort,
  sequence,
  sequenceProblem,
  sequencesProblem,
  type KnockPort,
  type SequenceClient,
} from '../../lib/scheme/sequence.ts';

function knocksOf(line: string): KnockPort[] {
  return line === '' ? [] : line.split(' ').map((text) => parseKnockPort(text) ?? assert.fail(text));
}

describe('parseKnockPort', () => {
  it('reads a port and a protocol, tcp unless said', () => {
    assert.deepEqual(parseKnockPort('7000'), { port: 7000, protocol: 'tcp' });
    assert.deepEqual(parseKnockPort('7000/tcp'), { port: 7000, protocol: 'tcp' });
    assert.deepEqual(parseKnockPort('9000/udp'), { port: 9000, protocol: 'udp' });
    assert.deepEqual(parseKnockPort('1/udp'), { port: 1, protocol: 'udp' });
    assert.deepEqual(parseKnockPort('65535'), { port: 65_535, protocol: 'tcp' });
  });

  it('reads nothing else', () => {
    const refused = [
      ...[
        '',
        '0',
        '0/tcp',
        '65536',
        '99999/udp',
        '123456',
        '-1',
        '+1',
        '1.5',
        '1e3',
        '0x10',
        ' 1',
        '1 ',
        '1\n',
      ],
      ...[
        '7000/',
        '/tcp',
        '7000/icmp',
        '7000/TCP',
        '7000/tcp/udp',
        '7000:tcp',
        '7000 tcp',
        '７０００',
        'ssh',
      ],
    ];
    for (const text of refused) assert.equal(parseKnockPort(text), null, JSON.stringify(text));
  });
});

describe('sequenceProblem', () => {
  const rows: readonly [knocks: string, level: 'error' | 'warning' | null][] = [
    ['', 'error'],
    ['7000', 'error'],
    ['7000 7001', 'error'],
    ['7001 7000', 'error'],
    ['7000 7001 7002', 'error'],
    ['7002/udp 7001/udp 7000/udp', 'error'],
    ['7000 7000', 'error'],
    ['7000 7000 7001', 'error'],
    ['7000 7001 7001 7002', 'error'],
    ['65535 65534 65534', 'error'],
    ['7000/tcp 7001/udp', 'warning'],
    ['7000/tcp 7000/udp', 'warning'],
    ['7000 8000', 'warning'],
    ['8000 7000', 'warning'],
    ['7000 8000 9000', 'warning'],
    ['9000 8000 7000', 'warning'],
    ['7000 7000 8000', 'warning'],
    ['7000 7001 7003', 'warning'],
    ['7000 9000 8000', null],
    ['7000 7001 7000', null],
    ['7000 6999 7000', null],
    ['9000/udp 7000 8000', null],
  ];
  for (const [knocks, level] of rows) {
    it(`says ${level ?? 'nothing'} of ${knocks === '' ? 'no knocks' : knocks}`, () => {
      assert.equal(sequenceProblem(knocksOf(knocks))?.level ?? null, level);
    });
  }

  it('takes 32 knocks and no more', () => {
    const knocks = (count: number): KnockPort[] =>
      Array.from({ length: count }, (_, i) => ({ port: 1 + ((i * 7) % 40), protocol: 'tcp' }));
    assert.equal(sequenceProblem(knocks(32)), null);
    assert.deepEqual(sequenceProblem(knocks(33)), {
      level: 'error',
      message: 'a sequence has 2 to 32 knocks, got 33',
    });
  });
});

describe('sequencesProblem', () => {
  const problem = (...lines: string[]) =>
    sequencesProblem(new Map(lines.map((line, i) => [`c${i}`, knocksOf(line)])))?.client ?? null;

  it('finds sequences of which one packet would be the last knock at the same time', () => {
    assert.equal(problem('1 3 2', '4 6 5', '1 3 2'), 'c2');
    assert.equal(problem('1 5 3 9', '3 9'), 'c1');
    assert.equal(problem('3 9', '1 5 3 9'), 'c1');
  });

  it('lets all others be', () => {
    const apart = [
      ['1 3 2', '1 3 2/udp'],
      ['1 3 2', '1 3 4'],
      ['1 3 2', '1 3 2 5'],
      ['1 3 2', '11 3 2', '21 3 2'],
      ['1 3 2', '3 1 2'],
      ['7 1 3 5', '1 3'],
    ];
    for (const lines of apart) assert.equal(problem(...lines), null, lines.join(', '));
  });

  it('has room for sixteen with the same beginning', () => {
    const lines = Array.from({ length: 17 }, (_, i) => `7000 ${100 + i} 50`);
    assert.equal(problem(...lines.slice(0, 16), '7001 9 8'), null);
    assert.equal(problem(...lines), 'c16');
  });
});

describe("sequence's options", () => {
  const one = (client: Partial<SequenceClient>): (() => unknown) => {
    return () => sequence({ clients: { 'old\n': { sequence: ['7000', '9000', '8000'], ...client } } });
  };

  it('take strings and objects, all ports to be seen, and a warning to be given', () => {
    const scheme = sequence({
      clients: { a: { sequence: ['7000', { port: 9, protocol: 'udp' }, '8000/tcp'] } },
    });
    assert.deepEqual(scheme.needs, [
      { protocol: 'tcp-syn', ports: [1, 65_535] },
      { protocol: 'udp', ports: [1, 65_535] },
    ]);
    assert.deepEqual([scheme.clients, scheme.replayable, scheme.validityMs], [['a'], true, 0]);
  });

  const wrong: readonly [what: string, client: Partial<SequenceClient>, message: string][] = [
    [
      'a knock that is none',
      { sequence: ['7000', 'x\x1b'] },
      "sequence of old\\u{a} must hold PORT/tcp or PORT/udp, got 'x\\u{1b}'",
    ],
    [
      'port 70000 as an object',
      { sequence: ['1', { port: 70_000, protocol: 'tcp' }] },
      "sequence of old\\u{a} must hold PORT/tcp or PORT/udp, got '70000/tcp'",
    ],
    [
      'port 0 as an object',
      { sequence: ['1', { port: 0, protocol: 'udp' }] },
      "sequence of old\\u{a} must hold PORT/tcp or PORT/udp, got '0/udp'",
    ],
    ['no knock', { sequence: [] }, 'sequence of old\\u{a}: a sequence has 2 to 32 knocks, got 0'],
    [
      'neighbours',
      { sequence: ['1', '2'] },
      'sequence of old\\u{a}: a port scan in order opens a sequence of neighbouring ports',
    ],
    ['no time', { timeoutMs: 0 }, 'timeoutMs of old\\u{a} must be a whole number from 1 to 86400000, got 0'],
    [
      'no number',
      { timeoutMs: NaN },
      'timeoutMs of old\\u{a} must be a whole number from 1 to 86400000, got NaN',
    ],
  ];
  for (const [what, client, message] of wrong) {
    it(`refuse ${what}, on one line`, () => assert.throws(one(client), { message }));
  }

  it('refuse two clients with one sequence', () => {
    const clients = { a: { sequence: ['3', '1', '2'] }, b: { sequence: ['3/tcp', '1/tcp', '2/tcp'] } };
    assert.throws(() => sequence({ clients }), {
      name: 'RangeError',
      message: 'sequence of b: it ends as that of a does, one whole in the other',
    });
  });
});
