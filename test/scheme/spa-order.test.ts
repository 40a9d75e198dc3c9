// The gateway's order of checks (protocols/spa.md): whichever two things are wrong with a knock, the earlier one is the
// reason; and what a refused knock must not cost or change.

import assert from 'node:assert/strict';
import { audienceOf, accessKeyOf, serviceIdOf, sharedKeyOf } from '../../lib/scheme/spa-keys.ts';
import type { KnownClient } from '../../lib/scheme/spa-clients.ts';
import { SpaGate } from '../../lib/scheme/spa-gate.ts';
import type { KnockHistory, Match, Scheme } from '../../lib/scheme/scheme.ts';
import { NO_HISTORY } from '../support/history.ts';
import { NOW } from '../support/packets.ts';
import {
  ACCESS,
  arrive,
  CLIENTS,
  counterOf,
  flipped,
  gatewayOf,
  GATEWAY,
  insider,
  knock,
  PSK,
  said,
  SEED,
  type ArrivalOptions,
  type KnockOptions,
} from '../support/spa-knocks.ts';
import { oracleClientId } from '../support/spa-oracle.ts';

interface Trouble {
  readonly number: string;
  readonly says: string;
  /** What the client does differently. */
  readonly knock?: KnockOptions;
  /** What an insider changes. */
  readonly inside?: (plain: Buffer) => void;
  /** What happens to the sealed bytes. */
  readonly outside?: (bytes: Buffer) => Buffer;
  readonly arrival?: ArrivalOptions;
  /** What came before. */
  readonly before?: (scheme: Scheme, bytes: Buffer, at: number) => void;
}

const STRANGER = Buffer.alloc(32, 'stranger');
const EVERYTHING: KnockHistory = { floor: () => 2n ** 64n - 1n };

/** In the order in which they are to be found; each is wrong by itself and can be added to any other. */
const TROUBLES: readonly Trouble[] = [
  { number: '1a length', says: 'silence', outside: (bytes) => bytes.subarray(0, 191) },
  { number: '1b port', says: 'silence', arrival: { port: 62_202 } },
  { number: '1c hint', says: 'silence', outside: (bytes) => flipped(bytes, 4) },
  { number: '2 gateway tag', says: 'bad-tag', outside: (bytes) => flipped(bytes, 31) },
  { number: '3a reserved zeros', says: 'malformed', inside: (plain) => void (plain[31] = 1) },
  { number: '3b audience', says: 'audience', knock: { gateway: 'gw2.example' } },
  { number: '4 client', says: 'unknown-client', knock: { key: STRANGER } },
  { number: '5a time', says: 'stale', arrival: { at: NOW + 120_001 } },
  { number: '5b floor', says: 'replayed', arrival: { history: EVERYTHING } },
  { number: '6 budget', says: 'too-many-checks', before: exhaust },
  { number: '7 proof', says: 'bad-signature', inside: (plain) => plain.set(flipped(plain, 100)) },
  { number: '8a body', says: 'malformed', knock: { bind: 'observed', claim: '192.0.2.7' } },
  { number: '8b services', says: 'service-refused', knock: { services: ['ssh', 'telnet'] } },
  { number: '8c time to live', says: 'stale', knock: { ttl: 1 }, arrival: { at: NOW + 1000 } },
];

/** Has the gateway check ten signatures of the source. */
function exhaust(scheme: Scheme, bytes: Buffer, at: number): void {
  // Whatever else is wrong with the knock, these have only their proof wrong.
  const wrong = insider(bytes, (plain) => {
    plain[31] = 0;
    plain.set(audienceOf(GATEWAY), 4);
    plain.set(oracleClientId(2, SEED), 12);
    plain.writeUIntBE(at, 20, 6);
    plain.set(flipped(plain, 140, 0x7f));
  });
  for (let i = 0; i < 10; i += 1) assert.equal(said(arrive(scheme, wrong, { at })), 'bad-signature');
}

/** What a gateway says to a knock with these troubles. */
async function verdict(...troubles: readonly Trouble[]): Promise<string> {
  const options = Object.assign({ suite: 2 }, ...troubles.map((each) => each.knock)) as KnockOptions;
  const arrivals = troubles.map(({ arrival }) => arrival ?? {});
  const arrival: ArrivalOptions = Object.assign({}, ...arrivals) as ArrivalOptions;
  const at = Math.max(NOW, ...arrivals.map((each) => each.at ?? NOW));
  let bytes = await knock(options);
  const scheme = gatewayOf();
  for (const { before: prepare } of troubles) prepare?.(scheme, bytes, at);
  bytes = insider(bytes, (plain) => {
    for (const { inside } of troubles) inside?.(plain);
  });
  for (const { outside } of troubles) bytes = outside?.(bytes) ?? bytes;
  return said(arrive(scheme, bytes, { ...arrival, at }));
}

describe('the order of the checks of an SPA knock', () => {
  it('0 nothing: request', async () => {
    assert.equal(await verdict(), 'request');
  });

  for (const [i, trouble] of TROUBLES.entries()) {
    it(`${trouble.number}: ${trouble.says}, alone and with each of what comes later`, async () => {
      assert.equal(await verdict(trouble), trouble.says);
      for (const later of TROUBLES.slice(i + 1)) {
        assert.equal(await verdict(trouble, later), trouble.says, `with ${later.number}`);
        assert.equal(await verdict(later, trouble), trouble.says, `with ${later.number} first`);
      }
    });
  }

  it('9 all at once: silence', async () => {
    assert.equal(await verdict(...TROUBLES), 'silence');
  });
});

/** A gateway with one client whose cryptography is counted. */
function counting(suite: 1 | 2, { hasClock = true, proves = true } = {}) {
  const calls = { proves: 0, body: 0, floor: 0 };
  const client: KnownClient = {
    name: 'counted',
    suite,
    hasClock,
    last: null,
    proves() {
      calls.proves += 1;
      return proves;
    },
    body(_nonce, content) {
      calls.body += 1;
      return content.subarray(32, 96);
    },
  };
  const gate = new SpaGate({
    keys: [accessKeyOf(ACCESS)],
    port: 62_201,
    hinted: true,
    audience: audienceOf(GATEWAY),
    services: new Map([[serviceIdOf('ssh'), 'ssh']]),
    clientOf: () => client,
  });
  const match = (
    bytes: Buffer,
    { floor = null as bigint | null, ...options }: ArrivalOptions & { floor?: bigint | null } = {},
  ): Match | null =>
    arrive(gate, bytes, {
      ...options,
      history: {
        floor() {
          calls.floor += 1;
          return floor;
        },
      },
    });
  return { match, calls, client };
}

for (const suite of [1, 2] as const) {
  describe(`a replayed SPA knock of suite ${suite}`, () => {
    it('is refused without the client’s cryptography, at the floor and below it', async () => {
      const { match, calls } = counting(suite);
      const counter = counterOf(NOW, 7);
      const bytes = await knock({ suite, seq: 7 });
      for (const floor of [counter, counter + 1n, counter + 2n ** 40n, 2n ** 64n - 1n]) {
        assert.deepEqual(match(bytes, { floor }), { kind: 'reject', reason: 'replayed', client: 'counted' });
      }
      assert.deepEqual(calls, { proves: 0, body: 0, floor: 4 });
    });

    it('is not one when its counter is above the floor, or nothing is known of the client', async () => {
      for (const floor of [counterOf(NOW, 6), 0n, null]) {
        const { match, calls } = counting(suite);
        match(await knock({ suite, seq: 7 }), { floor });
        assert.equal(calls.proves, 1);
      }
    });

    it('that is out of time as well is out of time, and asks nobody for the past', async () => {
      const { match, calls } = counting(suite, { proves: false });
      const bytes = await knock({ suite });
      const late = match(bytes, { at: NOW + 120_001, floor: counterOf(NOW) });
      assert.deepEqual(late, { kind: 'reject', reason: 'stale', client: 'counted' });
      assert.equal(calls.floor, 0);
    });

    it('costs none of the signatures that the budget allows', async () => {
      const { match, calls } = counting(suite, { proves: false });
      const bytes = await knock({ suite });
      for (let i = 0; i < 100; i += 1)
        assert.equal(said(match(bytes, { floor: counterOf(NOW) })), 'replayed');
      for (let i = 0; i < 10; i += 1) assert.equal(said(match(bytes)), 'bad-signature');
      assert.equal(calls.proves, 10);
    });
  });

  describe(`a copy of the last SPA knock, suite ${suite}`, () => {
    it('is a duplicate from the same source, without cryptography, whatever has been claimed since', async () => {
      const { match, calls } = counting(suite);
      const bytes = await knock({ suite });
      match(bytes);
      const once = { ...calls };
      for (const floor of [null, counterOf(NOW), 2n ** 64n - 1n]) {
        assert.deepEqual(match(Buffer.from(bytes), { floor }), { kind: 'duplicate', client: 'counted' });
      }
      assert.deepEqual(calls, once);
    });

    it('is a replay from any other source', async () => {
      const { match } = counting(suite);
      const bytes = await knock({ suite });
      match(bytes, { src: '192.0.2.7' });
      const floor = counterOf(NOW);
      for (const src of ['192.0.2.8', '192.0.3.7', '2001:db8::7', '::c000:207']) {
        assert.equal(said(match(bytes, { src, floor })), 'replayed', src);
      }
      assert.equal(said(match(bytes, { src: '192.0.2.7', floor })), 'duplicate');
    });

    it('is told from one with another pad, which is a replay', async () => {
      const { match } = counting(suite);
      const lots = { length: 300, random: Buffer.alloc(12, 1), pad: Buffer.alloc(480, 2) };
      const bytes = await knock({ suite, lots });
      match(bytes);
      const repadded = insider(bytes, (plain) => plain.set(flipped(plain, plain.length - 1)));
      assert.equal(said(match(repadded, { floor: counterOf(NOW) })), 'replayed');
    });

    it('is a replay once another knock has come', async () => {
      const { match } = counting(suite);
      const [first, second] = [await knock({ suite, seq: 1 }), await knock({ suite, seq: 2 })];
      match(first);
      match(second);
      const floor = counterOf(NOW, 2);
      assert.equal(said(match(first, { floor })), 'replayed');
      assert.equal(said(match(second, { floor })), 'duplicate');
    });

    it('is nothing but a failure again when the proof was wrong', async () => {
      const { match, client } = counting(suite, { proves: false });
      const bytes = await knock({ suite });
      assert.equal(said(match(bytes)), 'bad-signature');
      assert.equal(said(match(bytes)), 'bad-signature');
      assert.equal(client.last, null);
    });
  });
}

describe('the time window of an SPA knock', () => {
  // Age of the knock when it arrives, milliseconds; with a clock and without.
  const rows: readonly [number: number, age: number, clock: string, noClock: string][] = [
    [1, 0, 'request', 'request'],
    [2, 120_000, 'request', 'request'],
    [3, 120_001, 'stale', 'request'],
    [4, 3_000_000, 'stale', 'request'],
    [5, -30_000, 'request', 'request'],
    [6, -30_001, 'future', 'future'],
    [7, -3_000_000, 'future', 'future'],
  ];
  for (const suite of [1, 2] as const) {
    for (const [number, age, clock, noClock] of rows) {
      it(`${number}. suite ${suite}, ${age} ms old: ${clock}, without a clock ${noClock}`, async () => {
        // In the midst of an hour, so that the hint is always one of the three.
        const ms = NOW + 1_800_000;
        const bytes = await knock({ suite, ms });
        assert.equal(said(arrive(gatewayOf(), bytes, { at: ms + age })), clock);
        const clients = {
          suite1: { ...CLIENTS.suite1, clock: false },
          suite2: { ...CLIENTS.suite2, clock: false },
        };
        assert.equal(said(arrive(gatewayOf({ clients }), bytes, { at: ms + age })), noClock);
      });
    }
  }

  it('lets a clock that is years ahead open nothing, with a clock or without', async () => {
    const ms = NOW + 5 * 365 * 86_400_000;
    // Somebody sees to the hint.
    const bytes = insider(await knock(), (plain) => plain.writeUIntBE(ms, 20, 6));
    for (const clock of [true, false]) {
      const clients = { suite1: { secret: PSK, clock } };
      assert.equal(said(arrive(gatewayOf({ clients }), bytes)), 'future');
    }
  });

  const reported: readonly [age: number, reason: 'stale' | 'future', offset: number][] = [
    [143_000, 'stale', -143_000],
    [120_001, 'stale', -120_001],
    [-30_001, 'future', 30_001],
    [-600_000, 'future', 600_000],
  ];
  for (const [age, reason, clockOffsetMs] of reported) {
    it(`says by how much the clock is off, ${clockOffsetMs} ms, once the proof has been checked`, async () => {
      for (const [suite, client] of [
        [1, 'suite1'],
        [2, 'suite2'],
      ] as const) {
        const ms = NOW + 1_800_000;
        const bytes = await knock({ suite, ms });
        const at = ms + age;
        const told = { kind: 'reject', reason, client, clockOffsetMs };
        assert.deepEqual(arrive(gatewayOf(), bytes, { at }), told);
        // Of a stranger it says nothing: anybody with the access key could put any time into anybody's mouth.
        const forged = insider(bytes, (plain) => plain.set(flipped(plain, 100)));
        assert.deepEqual(arrive(gatewayOf(), forged, { at }), { kind: 'reject', reason, client });
      }
    });
  }

  it('checks five proofs at once to report that, one more a second, and does not keep it from knocks', async () => {
    const scheme = gatewayOf();
    const late = await knock({ suite: 2, ms: NOW - 200_000 });
    const offsets = (at: number, count: number): number =>
      Array.from({ length: count }, () => arrive(scheme, late, { at })).filter(
        (match) => match?.kind === 'reject' && match.clockOffsetMs !== undefined,
      ).length;
    assert.equal(offsets(NOW, 50), 5);
    assert.equal(offsets(NOW + 999, 50), 0);
    assert.equal(offsets(NOW + 1001, 50), 1);
    assert.equal(offsets(NOW + 60_000, 50), 5);
    assert.equal(said(arrive(scheme, await knock({ suite: 2 }))), 'request');
  });
});

describe('the end that an SPA knock names', () => {
  // Seconds, and the age at which it arrives.
  const rows: readonly [number: number, ttl: number, age: number, until: number | 'stale' | undefined][] = [
    [1, 0, 0, undefined],
    [2, 0, 120_000, undefined],
    [3, 60, 0, NOW + 60_000],
    [4, 60, 59_999, NOW + 60_000],
    [5, 60, 60_000, 'stale'],
    [6, 60, 60_001, 'stale'],
    [7, 1, -30_000, NOW + 1000],
    [8, 2 ** 32 - 1, 5, NOW + (2 ** 32 - 1) * 1000],
  ];
  for (const [number, ttl, age, until] of rows) {
    it(`${number}. ${ttl} s, ${age} ms old: ${until ?? 'none'}`, async () => {
      const match = arrive(gatewayOf(), await knock({ ttl }), { at: NOW + age });
      if (until === 'stale') {
        const told = { kind: 'reject', reason: 'stale', client: 'suite1', clockOffsetMs: -age };
        assert.deepEqual(match, told);
      } else {
        assert.equal(match?.kind === 'request' ? match.until : 'no request', until);
      }
    });
  }
});

describe('a knock that an SPA gateway knows nothing of', () => {
  it('asks nobody and changes nothing: no history is looked at before the client is known', async () => {
    const history = { floor: () => assert.fail('the history was asked') };
    const bytes = await knock({ key: STRANGER });
    assert.equal(said(arrive(gatewayOf(), bytes, { history })), 'unknown-client');
    const forged = flipped(await knock(), 40);
    assert.equal(said(arrive(gatewayOf(), forged, { history })), 'bad-tag');
    assert.equal(said(arrive(gatewayOf(), await knock(), { history: NO_HISTORY })), 'request');
  });

  it('leaves the last knock of a known one what it was', async () => {
    const scheme = gatewayOf();
    const bytes = await knock();
    assert.equal(said(arrive(scheme, bytes)), 'request');
    for (const other of [
      flipped(bytes, 40),
      insider(bytes, (plain) => plain.set(flipped(plain, 100))),
      insider(bytes, (plain) => plain.set(flipped(plain, 31))),
    ]) {
      assert.notEqual(said(arrive(scheme, other)), 'request');
    }
    assert.equal(said(arrive(scheme, bytes)), 'duplicate');
  });
});

describe('the shared key of suite 1', () => {
  it('has an id that says nothing of the key', () => {
    const { id } = sharedKeyOf(PSK);
    assert.equal(id.length, 8);
    assert.equal(PSK.includes(id), false);
  });
});
