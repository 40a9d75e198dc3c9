// Lists of sequences, each good once: which one opens, when the next one does, and that a used one never does again.

import assert from 'node:assert/strict';
import type { PacketView } from '../../lib/packet/view.ts';
import { sequenceList, type SequenceListClient } from '../../lib/scheme/sequence-list.ts';
import type { KnockHistory, Match, Scheme } from '../../lib/scheme/scheme.ts';
import { datagram, NOW, syn } from '../support/packets.ts';

const LIST = [
  ['7000', '9000', '8000'],
  ['7000/udp', '1000', '3000/udp'],
  ['5000', '2000', '6000'],
];

/** A replay store that claims what it is told to. */
class Claims implements KnockHistory {
  readonly used = new Set<string>();

  floor(account: string): bigint | null {
    return this.used.has(account) ? 1n : null;
  }
}

function packets(knocks: readonly string[], src?: string): PacketView[] {
  return knocks.map((knock, i) => {
    const [port, protocol = 'tcp'] = knock.split('/');
    const options = { port: Number(port), at: NOW + i, ...(src === undefined ? {} : { src }) };
    return protocol === 'udp' ? datagram(options) : syn(options);
  });
}

function knock(scheme: Scheme, history: KnockHistory, knocks: readonly string[], src?: string): Match | null {
  const matches = packets(knocks, src).map((packet) => scheme.match(packet, history));
  assert.ok(matches.slice(0, -1).every((match) => match === null));
  return matches.at(-1) ?? null;
}

function accountOf(match: Match | null): string {
  assert.equal(match?.kind, 'request');
  return match?.kind === 'request' ? (match.account ?? '') : '';
}

const listOf = (client: Partial<SequenceListClient> = {}): Scheme =>
  sequenceList({ clients: { old: { sequences: LIST, ...client } } });

describe('a list of sequences', () => {
  it('opens for the first one, and says what is to be claimed', () => {
    assert.deepEqual(knock(listOf(), new Claims(), LIST[0] ?? []), {
      ...{ kind: 'request', client: 'old', services: null, counter: 1n },
      account: 'old 7000/tcp,9000/tcp,8000/tcp',
    });
  });

  it('opens for each once, in order', () => {
    const [scheme, claims] = [listOf(), new Claims()];
    for (const sequence of LIST) {
      claims.used.add(accountOf(knock(scheme, claims, sequence)));
      assert.deepEqual(knock(scheme, claims, sequence), {
        kind: 'reject',
        reason: 'replayed',
        client: 'old',
      });
      assert.equal(knock(scheme, claims, sequence), null);
    }
    assert.equal(claims.used.size, LIST.length);
  });

  it('does not open for one whose turn has not come', () => {
    const [scheme, claims] = [listOf(), new Claims()];
    for (const sequence of LIST.slice(1)) assert.equal(knock(scheme, claims, sequence), null);
    assert.equal(accountOf(knock(scheme, claims, LIST[0] ?? [])), 'old 7000/tcp,9000/tcp,8000/tcp');
  });

  it('opens for one again that was knocked and not claimed', () => {
    const [scheme, claims] = [listOf(), new Claims()];
    const first = accountOf(knock(scheme, claims, LIST[0] ?? []));
    assert.equal(knock(scheme, claims, LIST[1] ?? []), null);
    assert.equal(accountOf(knock(scheme, claims, LIST[0] ?? [], '192.0.2.9')), first);
  });

  it('begins after a restart where it was, whatever was put in or taken out of the list', () => {
    const claims = new Claims();
    claims.used.add(accountOf(knock(listOf(), claims, LIST[0] ?? [])));
    for (const sequences of [
      LIST,
      LIST.slice(1),
      [['1', '9', '5'], ...LIST].toReversed(),
      [LIST[2] ?? [], ...LIST.slice(0, 2)],
    ]) {
      const scheme = listOf({ sequences });
      const next = sequences.find((each) => each !== LIST[0]) ?? [];
      assert.notEqual(knock(scheme, claims, LIST[0] ?? [])?.kind, 'request');
      assert.match(
        accountOf(knock(scheme, claims, next)),
        new RegExp(`^old ${(next[0] ?? '').split('/')[0] ?? ''}/`, 'u'),
      );
    }
  });

  it('is started over by any other packet, is late, and is of one source, as a plain sequence', () => {
    const claims = new Claims();
    assert.equal(knock(listOf(), claims, ['7000', '9000', '22', '8000']), null);
    const [one, two, three] = packets(LIST[0] ?? []);
    const scheme = listOf({ timeoutMs: 1000 });
    assert.ok(one !== undefined && two !== undefined && three !== undefined);
    three.timeMs = NOW + 1001;
    assert.deepEqual(
      [one, two, three].map((packet) => scheme.match(packet, claims)),
      [null, null, null],
    );
    const [other] = packets(['8000'], '192.0.2.9');
    const third = listOf();
    assert.deepEqual(
      packets(['7000', '9000']).map((packet) => third.match(packet, claims)),
      [null, null],
    );
    assert.ok(other !== undefined && third.match(other, claims) === null);
  });

  it('opens for one family when it is told so', () => {
    for (const [family, src, opens] of [
      [4, '192.0.2.7', true],
      [4, '2001:db8::7', false],
      [6, '192.0.2.7', false],
      [6, '2001:db8::7', true],
      [undefined, '2001:db8::7', true],
    ] as const) {
      const match = knock(listOf({ family }), new Claims(), LIST[0] ?? [], src);
      assert.equal(match?.kind === 'request', opens, `${family ?? 'both'} ${src}`);
    }
  });

  it('is captured as plain sequences are, and cannot be replayed', () => {
    const { name, needs, clients, replayable, validityMs } = listOf();
    assert.deepEqual([name, clients, replayable, validityMs], ['sequence-list', ['old'], false, 0]);
    assert.deepEqual(
      needs.map(({ protocol, ports }) => [protocol, ports]),
      [
        ['tcp-syn', [1, 65535]],
        ['udp', [1, 65535]],
      ],
    );
  });

  it('may be empty, and then opens for nothing', () => {
    assert.equal(knock(listOf({ sequences: [] }), new Claims(), LIST[0] ?? []), null);
  });

  const mistakes: readonly [what: string, clients: Record<string, SequenceListClient>, message: RegExp][] = [
    ['a sequence that is none', { a: { sequences: [['x', '1']] } }, /sequence of a must hold PORT/u],
    ['a sequence that a scan opens', { a: { sequences: [['1', '2', '3']] } }, /port scan in order/u],
    [
      'one sequence twice',
      {
        a: {
          sequences: [
            ['1', '9', '5'],
            ['1', '9', '5'],
          ],
        },
      },
      /sequences of a: another one ends as 1/u,
    ],
    [
      'one that ends as another',
      { a: { sequences: [['1', '9', '5']] }, b: { sequences: [['9', '5']] } },
      /sequences of b/u,
    ],
    ['a time that is none', { a: { sequences: [], timeoutMs: 0 } }, /timeoutMs of a must be/u],
  ];
  for (const [what, clients, message] of mistakes) {
    it(`is not made with ${what}`, () => {
      assert.throws(() => sequenceList({ clients }), { message });
    });
  }
});
