// The hashed one-time sequence: its vectors, and what the udp carrier takes and refuses (attacks 5 to 9 and 20).
// The tcp carrier is in one-time-tcp.test.ts.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import type { PacketView } from '../../lib/packet/view.ts';
import { oneTime, type OneTimeClient } from '../../lib/scheme/one-time.ts';
import { oneTimeBits, oneTimeKnocks, type OneTimeKey } from '../../lib/scheme/one-time-key.ts';
import type { Scheme } from '../../lib/scheme/scheme.ts';
import { forgeKnocks } from '../support/forge.ts';
import { heapUsed } from '../support/heap.ts';
import { modelOneTimeUdp, verdictOf, type Verdict } from '../support/model-schemes.ts';
import { datagram, later, NOW, permutations, syn } from '../support/packets.ts';
import { random } from '../support/random.ts';
import { NO_HISTORY } from '../support/history.ts';

interface Vector {
  readonly secret: string;
  readonly digest: 'sha256' | 'md5';
  readonly step: number;
  readonly stepSeconds: number;
  readonly count: number;
  readonly low: number;
  readonly high: number;
  readonly knocks: readonly { readonly port: number; readonly tag: string }[];
}

const { vectors } = JSON.parse(
  readFileSync(new URL('../vectors/one-time.json', import.meta.url), 'utf8'),
) as { vectors: readonly Vector[] };

const SECRET = Buffer.alloc(32, 'field');
const STEP = NOW / 10_000;
const ATTACKER = '203.0.113.66';

function keyOf({ secret, digest, stepSeconds, count, low, high }: Vector): OneTimeKey {
  return { secret: Buffer.from(secret, 'hex'), digest, stepSeconds, knocks: count, ports: [low, high] };
}

/** The datagrams of one knock. */
function knocksOf(
  key: OneTimeKey = { secret: SECRET },
  { step = STEP, at = NOW, src = '192.0.2.7' } = {},
): PacketView[] {
  return oneTimeKnocks(key, step).map(({ port, tag }, i) =>
    datagram({ src, port, at: at + i, payload: tag }),
  );
}

function field(client: Partial<OneTimeClient> = {}): Scheme {
  return oneTime({ clients: { field: { secret: SECRET, ...client } } });
}

/** What the scheme said to each packet, silence left out. */
function verdicts(scheme: Scheme, packets: readonly PacketView[]): Verdict[] {
  return packets
    .map((packet) => verdictOf(scheme.match(packet, NO_HISTORY)))
    .filter((verdict) => verdict !== null);
}

function secretOf(number: number): Buffer {
  return Buffer.alloc(32, `client ${number} `);
}

const OPENS = [`field@${STEP}`];

describe('oneTimeKnocks', () => {
  for (const [number, vector] of vectors.entries()) {
    const { secret, digest, step, count, low, high, knocks } = vector;
    it(`gives vector ${number + 1} (${digest}, ${count} knocks, step ${step}), and so does node-forge`, () => {
      const ours = oneTimeKnocks(keyOf(vector), step);
      assert.equal(knocks.length, count);
      assert.deepEqual(
        ours.map(({ port, tag }) => ({ port, tag: tag.toString('hex') })),
        knocks,
      );
      const key = { secret: Buffer.from(secret, 'hex'), digest, count, low, high, step };
      assert.deepEqual(forgeKnocks(key), knocks);
    });

    it(`opens by vector ${number + 1} and not without its last knock`, () => {
      const packets = knocksOf(keyOf(vector), { step, at: step * 10_000 });
      const scheme = (): Scheme => oneTime({ clients: { field: keyOf(vector) } });
      assert.deepEqual(verdicts(scheme(), packets), [`field@${step}`]);
      assert.deepEqual(verdicts(scheme(), packets.slice(0, -1)), []);
    });
  }

  it('agrees with node-forge for any key', () => {
    const range = fc.tuple(fc.integer({ min: 1, max: 65_535 }), fc.integer({ min: 1, max: 65_535 }));
    const key = fc.record({
      secret: fc.uint8Array({ minLength: 16, maxLength: 64 }),
      digest: fc.constantFrom('sha256' as const, 'md5' as const),
      count: fc.integer({ min: 2, max: 16 }),
      ports: range.map(([one, other]): [number, number] => [Math.min(one, other), Math.max(one, other)]),
      step: fc.oneof(fc.nat(), fc.maxSafeNat()),
    });
    fc.assert(
      fc.property(key, ({ secret, digest, count, ports, step }) => {
        const ours = oneTimeKnocks({ secret, digest, knocks: count, ports }, step);
        const theirs = forgeKnocks({ secret, digest, count, low: ports[0], high: ports[1], step });
        assert.deepEqual(
          ours.map(({ port, tag }) => ({ port, tag: tag.toString('hex') })),
          theirs,
        );
      }),
      { numRuns: 50 },
    );
  });

  it('gives four other answers when one thing is different', () => {
    const text = (key: OneTimeKey, step = 7): string => JSON.stringify(oneTimeKnocks(key, step));
    const key: OneTimeKey = { secret: Buffer.alloc(32, 1) };
    const different = [
      text(key, 8),
      text({ ...key, secret: Buffer.alloc(32, 2) }),
      text({ ...key, digest: 'md5' }),
      text({ ...key, ports: [20_000, 52_766] }),
    ];
    assert.equal(new Set([text(key), ...different]).size, 5);
  });
});

describe('oneTime', () => {
  const refused: readonly [what: string, client: Partial<OneTimeClient>, message: RegExp][] = [
    ['a secret of 15 bytes', { secret: Buffer.alloc(15) }, /^secret length must .* 16 to 64, got 15$/u],
    ['a secret of 65 bytes', { secret: Buffer.alloc(65) }, /^secret length must .*, got 65$/u],
    ['one knock', { knocks: 1 }, /^knocks must .* 2 to 16, got 1$/u],
    ['17 knocks', { knocks: 17 }, /^knocks must .*, got 17$/u],
    ['half a knock', { knocks: 2.5 }, /^knocks must .*, got 2\.5$/u],
    ['port 0', { ports: [0, 9] }, /^ports\[0\] must .*, got 0$/u],
    ['port 65536', { ports: [1, 65_536] }, /^ports\[1\] must .*, got 65536$/u],
    ['a range the wrong way round', { ports: [9, 8] }, /^ports\[1\] must .* from 9 to 65535, got 8$/u],
    ['steps of no length', { stepSeconds: 0 }, /^stepSeconds must .*, got 0$/u],
    ['steps without a number', { stepSeconds: NaN }, /^stepSeconds must .*, got NaN$/u],
    ['no time at all', { timeoutMs: 0 }, /^timeoutMs of field must .*, got 0$/u],
    ['endless time', { timeoutMs: Infinity }, /^timeoutMs of field must .*, got Infinity$/u],
  ];
  for (const [what, client, message] of refused) {
    it(`refuses ${what}`, () => {
      assert.throws(() => field(client), { name: 'RangeError', message });
    });
  }

  it('refuses values of other types', () => {
    const wrong = [{ secret: 'x'.repeat(32) }, { digest: 'sha1' }, { carrier: 'icmp' }] as never[];
    for (const client of wrong) assert.throws(() => field(client), TypeError);
  });

  it('refuses two clients with one secret, and does not print it', () => {
    const clients = { a: { secret: SECRET }, 'b\n': { secret: Buffer.from(SECRET), knocks: 3 } };
    assert.throws(() => oneTime({ clients }), {
      name: 'TypeError',
      message: 'secret of b\\u{a} must not be that of a',
    });
  });

  it('says what it must see, for how long a knock is valid, and that it has replay protection', () => {
    const scheme = oneTime({
      clients: {
        one: { secret: SECRET, ports: [100, 200] },
        two: { secret: Buffer.alloc(16), ports: [300, 400], carrier: 'tcp', stepSeconds: 60 },
      },
    });
    assert.deepEqual(scheme.needs, [
      { protocol: 'udp', ports: [100, 200], payloadLength: 16 },
      { protocol: 'tcp-syn', ports: [300, 400] },
    ]);
    assert.deepEqual(scheme.clients, ['one', 'two']);
    assert.equal(scheme.validityMs, 420_000);
    assert.equal(scheme.replayable, false);
  });

  it('tells how many bits an outsider has to guess', () => {
    assert.equal(oneTimeBits({ secret: SECRET }), 256);
    assert.equal(oneTimeBits({ secret: Buffer.alloc(16) }), 128);
    assert.equal(oneTimeBits({ secret: SECRET, carrier: 'tcp' }), 75);
    assert.equal(oneTimeBits({ secret: SECRET, carrier: 'tcp', ports: [40_000, 40_015], knocks: 3 }), 12);
    assert.equal(oneTimeBits({ secret: SECRET, carrier: 'tcp', ports: [7, 7] }), 0);
  });
});

describe('one-time over udp', () => {
  it('opens for all 120 orders of five knocks, each knock sent twice, with junk of the own address between', () => {
    const orders = permutations([0, 1, 2, 3, 4]);
    assert.equal(orders.length, 120);
    const scheme = oneTime({
      clients: Object.fromEntries(orders.map((_, i) => [`f${i}`, { secret: secretOf(i) }])),
    });
    for (const [i, order] of orders.entries()) {
      const knocks = knocksOf({ secret: secretOf(i) });
      const packets = order.flatMap((index) => {
        const knock = knocks[index] ?? assert.fail();
        const junk = [
          datagram({ port: knock.dstPort, payload: Buffer.alloc(16, index) }),
          datagram({ port: 20_000 + index, payload: Buffer.alloc(16, 0xee) }),
          datagram({ port: knock.dstPort, payload: Buffer.from('x') }),
          syn({ port: knock.dstPort }),
        ];
        return [...junk, knock, ...junk, knock];
      });
      assert.deepEqual(verdicts(scheme, packets), [`f${i}@${STEP}`], order.join(' '));
    }
  });

  it('opens nothing while a knock is missing, however often the others come', () => {
    for (let missing = 0; missing < 5; missing += 1) {
      const packets = knocksOf().filter((_, i) => i !== missing);
      assert.deepEqual(verdicts(field(), [...packets, ...packets.toReversed(), ...packets]), []);
    }
  });

  it('opens once per whole sequence: what comes after the last knock is a new beginning', () => {
    const packets = knocksOf();
    assert.deepEqual(verdicts(field(), [...packets, ...packets.slice(1)]), OPENS);
    // A whole repetition is reported again; the replay store refuses it.
    assert.deepEqual(verdicts(field(), [...packets, ...packets]), [...OPENS, ...OPENS]);
  });

  it('reports a right tag on a wrong port, and goes on', () => {
    const packets = knocksOf();
    const [first = assert.fail(), ...rest] = packets;
    const astray = datagram({
      port: first.dstPort + 1,
      payload: oneTimeKnocks({ secret: SECRET }, STEP)[0]?.tag ?? assert.fail(),
    });
    assert.deepEqual(verdicts(field(), [astray, ...rest]), ['!wrong-port field']);
    assert.deepEqual(verdicts(field(), [first, astray, ...rest]), ['!wrong-port field', ...OPENS]);
  });

  it('ignores a tag of 15 or 17 bytes, and one with any byte changed', () => {
    const [first = assert.fail(), ...rest] = oneTimeKnocks({ secret: SECRET }, STEP);
    const wrong = [first.tag.subarray(0, 15), Buffer.concat([first.tag, Buffer.alloc(1)]), Buffer.alloc(0)];
    for (let i = 0; i < 16; i += 1) {
      const changed = Buffer.from(first.tag);
      changed[i] = (changed[i] ?? 0) ^ 1;
      wrong.push(changed);
    }
    for (const payload of wrong) {
      const packets = [
        { port: first.port, payload },
        ...rest.map(({ port, tag }) => ({ port, payload: tag })),
      ];
      assert.deepEqual(verdicts(field(), packets.map(datagram)), [], payload.toString('hex'));
    }
  });

  it('does not take the tags by TCP', () => {
    const packets = oneTimeKnocks({ secret: SECRET }, STEP).map(({ port, tag }) =>
      syn({ port, payload: tag }),
    );
    assert.deepEqual(verdicts(field(), packets), []);
  });

  it('wants all knocks from one source: two that share them have nothing, two that send all open both', () => {
    const packets = knocksOf();
    const others = knocksOf(undefined, { src: ATTACKER });
    const shared = packets.map((packet, i) => (i % 2 === 0 ? packet : (others[i] ?? assert.fail())));
    assert.deepEqual(verdicts(field(), shared), []);
    const interleaved = packets.flatMap((packet, i) => [packet, others[i] ?? assert.fail()]);
    assert.deepEqual(verdicts(field(), interleaved), [...OPENS, ...OPENS]);
  });

  it('takes neighbours of an address for others, IPv6 included', () => {
    for (const [src, other] of [
      ['192.0.2.7', '192.0.2.6'],
      ['2001:db8::7', '2001:db8::8'],
      ['2001:db8::7', '2001:db9::7'],
    ]) {
      const [first = assert.fail(), ...rest] = knocksOf(undefined, { src: src ?? '' });
      const [foreign = assert.fail()] = knocksOf(undefined, { src: other ?? '' });
      assert.deepEqual(verdicts(field(), [foreign, ...rest]), []);
      assert.deepEqual(verdicts(field(), [first, ...rest]), OPENS);
    }
  });

  it('opens when the last knock comes exactly at the time-out, and not a millisecond later', () => {
    const timeoutMs = 4000;
    const [first = assert.fail(), ...rest] = knocksOf().map((packet) => later(packet, NOW));
    const last = rest.pop() ?? assert.fail();
    const until = (ms: number) => verdicts(field({ timeoutMs }), [first, ...rest, later(last, NOW + ms)]);
    assert.deepEqual(until(timeoutMs), OPENS);
    assert.deepEqual(until(timeoutMs + 1), []);
  });

  it('starts anew after the time-out', () => {
    const packets = knocksOf();
    const late = packets.map((packet) => later(packet, NOW + 10_100));
    assert.deepEqual(verdicts(field(), [...packets.slice(0, 4), ...late]), OPENS);
  });

  for (let offset = -5; offset <= 5; offset += 1) {
    const accepted = Math.abs(offset) <= 3;
    it(`${accepted ? 'accepts' : 'ignores'} step t${offset < 0 ? offset : `+${offset}`}`, () => {
      // Both ends of the present step.
      for (const at of [NOW, NOW + 9900]) {
        const packets = knocksOf(undefined, { step: STEP + offset, at });
        assert.deepEqual(verdicts(field(), packets), accepted ? [`field@${STEP + offset}`] : []);
      }
    });
  }

  it('opens across the boundary of a step, also for the oldest step as long as it is valid', () => {
    const boundary = NOW + 10_000;
    const across = knocksOf().map((packet, i) => later(packet, boundary + (i < 2 ? -1 : 0)));
    assert.deepEqual(verdicts(field(), across), OPENS);
    const oldest = knocksOf(undefined, { step: STEP - 3 }).map((packet, i) =>
      later(packet, boundary + (i < 2 ? -1 : 0)),
    );
    assert.deepEqual(verdicts(field(), oldest), []);
  });

  it('follows a clock that is set back an hour, forward again, and far beyond', () => {
    const scheme = field();
    const hour = 3_600_000;
    for (const at of [NOW, NOW - hour, NOW, NOW + hour, NOW + 1000 * hour, 5000, 0]) {
      const step = Math.floor(at / 10_000);
      assert.deepEqual(verdicts(scheme, knocksOf(undefined, { step, at })), [`field@${step}`], String(at));
      const early = knocksOf(undefined, { step: step + 4, at });
      assert.deepEqual(verdicts(scheme, early), []);
    }
  });

  it('does not carry a half-finished sequence over a clock that is set back and forth', () => {
    const scheme = field();
    const packets = knocksOf();
    const elsewhere = knocksOf(undefined, { step: STEP - 360, at: NOW - 3_600_000 });
    assert.deepEqual(
      verdicts(scheme, [...packets.slice(0, 3), ...elsewhere.slice(0, 1), ...packets.slice(3)]),
      [],
    );
  });

  it('keeps the first source of a sequence whatever a thousand others send, and says that there are too many', () => {
    const scheme = field();
    const [first = assert.fail(), ...rest] = knocksOf();
    assert.deepEqual(verdicts(scheme, [first]), []);
    const heard = oneTimeKnocks({ secret: SECRET }, STEP)[0] ?? assert.fail();
    const spoofed = Array.from({ length: 1000 }, (_, i) =>
      datagram({ src: `10.0.${i >> 8}.${i & 255}`, port: heard.port, payload: heard.tag }),
    );
    const said = verdicts(scheme, spoofed);
    assert.equal(said.length, 1000 - 15);
    assert.deepEqual(new Set(said), new Set(['!attempt-table-full field']));
    assert.deepEqual(verdicts(scheme, rest), OPENS);
  });

  it('has room again once the others have run out of time', () => {
    const scheme = field();
    const heard = oneTimeKnocks({ secret: SECRET }, STEP)[0] ?? assert.fail();
    const spoofed = Array.from({ length: 16 }, (_, i) =>
      datagram({ src: `10.0.0.${i + 1}`, port: heard.port, payload: heard.tag }),
    );
    assert.deepEqual(verdicts(scheme, spoofed), []);
    assert.deepEqual(verdicts(scheme, knocksOf()).slice(0, 1), ['!attempt-table-full field']);
    assert.deepEqual(verdicts(scheme, knocksOf(undefined, { at: NOW + 10_001 })), OPENS);
  });

  it('does not grow with junk, nor with right tags of ever new sources, nor with time', function () {
    this.timeout(60_000);
    const scheme = oneTime({
      clients: Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`f${i}`, { secret: secretOf(i) }])),
    });
    const rng = random(7);
    const junk = datagram({ port: 1, payload: Buffer.alloc(16) });
    const flood = (count: number, at: number): void => {
      const heard = oneTimeKnocks({ secret: secretOf(3) }, Math.floor(at / 10_000));
      for (let i = 0; i < count; i += 1) {
        const knock = heard[rng(5)] ?? assert.fail();
        junk.src3 = rng(2 ** 31);
        junk.timeMs = at;
        const isTag = i % 4 === 0;
        junk.dstPort = isTag ? knock.port : rng(65_536);
        if (isTag) knock.tag.copy(junk.bytes, junk.payloadStart);
        else junk.bytes.writeInt32BE(rng(2 ** 31), junk.payloadStart);
        scheme.match(junk, NO_HISTORY);
      }
    };
    flood(5000, NOW);
    const before = heapUsed();
    for (let step = 1; step <= 40; step += 1) flood(5000, NOW + step * 10_000);
    const grown = heapUsed() - before;
    assert.ok(grown < 1_000_000, `grew by ${grown} bytes`);
  });

  it('agrees with a slow model on any stream of packets', () => {
    const clients: Readonly<Record<string, OneTimeClient>> = {
      a: { secret: Buffer.alloc(32, 'a'), knocks: 2, timeoutMs: 8000 },
      b: { secret: Buffer.alloc(32, 'b'), knocks: 3, ports: [30_000, 30_003] },
      c: { secret: Buffer.alloc(32, 'c'), knocks: 3, digest: 'md5', stepSeconds: 7, timeoutMs: 15_000 },
    };
    const piece = fc.record({
      client: fc.constantFrom('a', 'b', 'c'),
      source: fc.constantFrom('192.0.2.7', '192.0.2.8', '2001:db8::7'),
      offset: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.constantFrom(-4, -3, -1, 1, 3, 4)),
      order: fc.shuffledSubarray([0, 1, 2], { minLength: 2 }),
      spoil: fc.constantFrom('nothing', 'nothing', 'nothing', 'port', 'tag', 'length'),
      waitMs: fc.oneof(
        { weight: 6, arbitrary: fc.nat(50) },
        fc.nat(12_000),
        fc.constantFrom(-9000, 8000, 10_000, 15_000, 3_600_000, -3_600_000),
      ),
    });
    let opened = 0;
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), fc.infiniteStream(fc.nat(2)), (pieces, shuffle) => {
        const scheme = oneTime({ clients });
        const model = modelOneTimeUdp(clients);
        let at = NOW;
        for (const packet of woven(
          pieces.map((one) => packetsOf(one)),
          shuffle,
        )) {
          at += packet.wait;
          const view = later(packet.view(at), at);
          const expected = model(view);
          if (expected !== null && !expected.startsWith('!')) opened += 1;
          assert.equal(verdictOf(scheme.match(view, NO_HISTORY)), expected);
        }
      }),
      { numRuns: 150 },
    );
    assert.ok(opened > 8, `only ${opened} openings: the streams try nothing`);

    type Piece = typeof piece extends fc.Arbitrary<infer P> ? P : never;
    interface Planned {
      readonly wait: number;
      readonly view: (at: number) => PacketView;
    }

    function packetsOf({ client, source, offset, order, spoil, waitMs }: Piece): Planned[] {
      const key = clients[client] ?? assert.fail();
      let step: number | null = null;
      return order.map((index, i) => ({
        wait: i === 1 ? waitMs : 0,
        view: (at) => {
          step ??= Math.max(0, Math.floor(at / 1000 / (key.stepSeconds ?? 10)) + offset);
          const knocks = oneTimeKnocks(key, step);
          const { port, tag } = knocks[index % knocks.length] ?? assert.fail();
          const spoilt = spoil !== 'nothing' && i === 0;
          return datagram({
            src: source,
            port: spoilt && spoil === 'port' ? (port % 65_535) + 1 : port,
            payload:
              spoilt && spoil === 'tag'
                ? Buffer.alloc(16, 1)
                : tag.subarray(0, spoilt && spoil === 'length' ? 15 : 16),
          });
        },
      }));
    }

    /** The pieces one after the other, or here and there one between another's packets. */
    function woven(pieces: Planned[][], shuffle: Iterator<number>): Planned[] {
      const result: Planned[] = [];
      let live = pieces.filter((one) => one.length > 0);
      while (live.length > 0) {
        const pick = live[Number(shuffle.next().value) % Math.min(live.length, 2)] ?? assert.fail();
        const next = pick.shift();
        if (next !== undefined) result.push(next);
        live = live.filter((one) => one.length > 0);
      }
      return result;
    }
  });
});
