// Random and mutated datagrams through the SPA scheme, on each of its layers: nothing throws, nothing is taken for a
// knock that is not one, nothing grows. And what is sealed is opened again, field by field.
// A failure prints the seed: PORTKNOCK_FUZZ_SEED=... runs it again.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { formatPrefix, parsePrefix, type Prefix } from '../../lib/address.ts';
import { ctr } from '../../lib/crypto/cipher.ts';
import type { PacketView } from '../../lib/packet/view.ts';
import { accessKeyOf, audienceOf, EPOCH_MS, hintOf, sharedKeyOf } from '../../lib/scheme/spa-keys.ts';
import { sealSpa } from '../../lib/scheme/spa-seal.ts';
import type { Match, Scheme } from '../../lib/scheme/scheme.ts';
import { heapUsed } from '../support/heap.ts';
import { NO_HISTORY } from '../support/history.ts';
import { datagram, NOW } from '../support/packets.ts';
import { random, type Random } from '../support/random.ts';
import {
  ACCESS,
  arrive,
  flipped,
  gatewayOf,
  GATEWAY,
  knock,
  PSK,
  said,
  SEED as SIGNING_SEED,
  senderOf,
  SPA_PORT,
} from '../support/spa-knocks.ts';
import { oracleClientId } from '../support/spa-oracle.ts';

const DATAGRAMS = process.env['PORTKNOCK_SLOW'] === '1' ? 1_000_000 : 20_000;
const SEED = Number(process.env['PORTKNOCK_FUZZ_SEED'] ?? Date.now() % 2 ** 31);
const GROWTH_BYTES = 4 * 1024 * 1024;
const FRAME_BYTES = 600;
const SERVICES = ['ssh', 'admin', 'web', 'git', 'db', 'mail', 'x', '0-9'];

const keys = accessKeyOf(ACCESS);
const shared = sharedKeyOf(PSK);
const clientIds = [shared.id, oracleClientId(2, SIGNING_SEED)];
const audience = audienceOf(GATEWAY);

/** A layer of the datagram that is right, with everything in it random. Returns the length. */
type Layer = (bytes: Buffer, rng: Random) => number;

function fill(bytes: Buffer, rng: Random): void {
  for (let i = 0; i < bytes.length; i += 1) bytes[i] = rng(256);
}

function anyLength(rng: Random): number {
  return rng(4) === 0 ? rng(FRAME_BYTES) : 192 + rng(289);
}

const junk: Layer = (bytes, rng) => {
  const length = anyLength(rng);
  fill(bytes.subarray(0, length), rng);
  return length;
};

const hinted: Layer = (bytes, rng) => {
  const length = Math.max(8, anyLength(rng));
  fill(bytes.subarray(0, length), rng);
  bytes.writeInt32BE(bytes.readInt32BE(0) ^ hintOf(keys, NOW / EPOCH_MS + rng(3) - 1), 4);
  return length;
};

/** Right as far as the gateway tag, so that the content is read. */
function tagged(write: (plain: Buffer, rng: Random, nonce: Buffer) => void): Layer {
  return (bytes, rng) => {
    const length = 192 + rng(289);
    hinted(bytes, rng);
    fill(bytes.subarray(8, length), rng);
    const nonce = bytes.subarray(0, 16);
    const plain = Buffer.alloc(length - 32);
    fill(plain, rng);
    write(plain, rng, nonce);
    ctr(keys.encryption, nonce, plain).copy(bytes, 32);
    keys.mac.add(bytes, 0, 16).add(bytes, 32, length).tag().copy(bytes, 16, 0, 16);
    return length;
  };
}

const randomContent = tagged(() => undefined);

/** Right as far as the client, with now and then another byte in it. */
function head(plain: Buffer, rng: Random): void {
  const suite = 1 + rng(2);
  plain[0] = 0x10 + suite;
  plain[1] = rng(8) * 2;
  plain.writeUInt16BE(plain.length - 96 - 32 * suite, 2);
  audience.copy(plain, 4);
  clientIds[suite - 1]?.copy(plain, 12);
  plain.writeUIntBE(NOW - rng(200_000) + 40_000, 20, 6);
  plain.writeUInt32BE(0, 28);
  if (rng(4) === 0) plain[rng(32)] = rng(256);
}

const randomBody = tagged(head);

/** Right as far as the proof of suite 1, with a body that is random, or nearly right. */
const proved = tagged((plain, rng, nonce) => {
  head(plain, rng);
  plain[0] = 0x11;
  clientIds[0]?.copy(plain, 12);
  plain.writeUInt16BE(plain.length - 128, 2);
  const body = plain.subarray(32, 96);
  const kind = rng(4);
  if (kind < 3) body.fill(0);
  if (kind === 1) {
    body[0] = rng(140);
    body[1] = rng(10);
    for (let at = 8; at < 64; at += 1) body[at] = rng(3) === 0 ? rng(256) : 0;
  }
  // Nothing wrong but the service that it names.
  if (kind === 2) {
    body[1] = 1;
    fill(body.subarray(24, 28), rng);
  }
  ctr(shared.encryption, nonce, plain.subarray(32, 96)).copy(plain, 32);
  shared.mac.add(nonce, 0, 16).add(plain, 0, 96).tag().copy(plain, 96);
});

const LAYERS: readonly [name: string, layer: Layer, reached: readonly string[]][] = [
  ['junk', junk, ['silence']],
  ['a right hint', hinted, ['silence', 'bad-tag']],
  ['a right gateway tag', randomContent, ['malformed']],
  [
    'a right head',
    randomBody,
    ['malformed', 'bad-signature', 'stale', 'future', 'audience', 'unknown-client'],
  ],
  ['a right proof', proved, ['malformed', 'service-refused', 'stale', 'future']],
];

interface Lane {
  readonly scheme: Scheme;
  readonly packet: PacketView;
  readonly said: Map<string, number>;
}

function lane(): Lane {
  const packet = datagram({ port: SPA_PORT, payload: Buffer.alloc(FRAME_BYTES) });
  return { scheme: gatewayOf(), packet, said: new Map() };
}

/** One datagram, from another source than the last, a little later. */
function send({ scheme, packet, said: words }: Lane, length: number, rng: Random): Match | null {
  packet.payloadLength = length;
  packet.src3 = rng(2 ** 31);
  packet.timeMs = NOW + rng(1000);
  const match = scheme.match(packet, NO_HISTORY);
  words.set(said(match), (words.get(said(match)) ?? 0) + 1);
  return match;
}

/** Runs `count` datagrams of a layer. */
function flood(run: Lane, layer: Layer, count: number, rng: Random): void {
  const bytes = run.packet.bytes.subarray(run.packet.payloadStart);
  for (let i = 0; i < count; i += 1) {
    const match = send(run, layer(bytes, rng), rng);
    // With the proof right it may be one: the fuzzer has the keys.
    if (match?.kind === 'request') assert.ok(layer === proved, 'random bytes were taken for a knock');
  }
}

describe('random datagrams for an SPA gateway', () => {
  for (const [name, layer, reached] of LAYERS) {
    it(`behind ${name} throw nothing (${DATAGRAMS / LAYERS.length} of them, seed ${SEED})`, () => {
      const run = lane();
      const rng = random(SEED);
      flood(run, layer, 2000, rng);
      const before = heapUsed();
      flood(run, layer, DATAGRAMS / LAYERS.length, rng);
      const growth = heapUsed() - before;
      for (const word of reached)
        assert.ok(run.said.has(word), `${word} was not reached: the layer tests nothing`);
      assert.ok(growth < GROWTH_BYTES, `memory grew by ${growth} bytes`);
    }).timeout(600_000);
  }

  it(`that were good before a few bytes were changed open nothing (${DATAGRAMS}, seed ${SEED})`, async () => {
    const run = lane();
    const rng = random(SEED);
    const good = await Promise.all(
      Array.from({ length: 32 }, (_, seq) => knock({ suite: seq % 2 === 0 ? 1 : 2, seq, ttl: seq })),
    );
    const bytes = run.packet.bytes.subarray(run.packet.payloadStart);
    for (let i = 0; i < DATAGRAMS; i += 1) {
      const from = good[rng(good.length)] ?? assert.fail();
      from.copy(bytes);
      // An odd number of changes of one bit each cannot undo one another.
      for (let changes = 1 + 2 * rng(3); changes > 0; changes -= 1) {
        const at = rng(from.length);
        bytes[at] = (bytes[at] ?? 0) ^ (1 << rng(8));
      }
      const match = send(run, from.length, rng);
      assert.ok(match === null || said(match) === 'bad-tag', said(match));
    }
    assert.ok((run.said.get('bad-tag') ?? 0) > DATAGRAMS / 2);
  }).timeout(600_000);
});

const v4 = fc.tuple(fc.ipV4(), fc.integer({ min: 0, max: 32 }));
const v6 = fc
  .tuple(fc.ipV6(), fc.integer({ min: 0, max: 128 }))
  // IPv4-mapped addresses are IPv4's.
  .filter(([address, length]) => parsePrefix(`${address}/${length}`) !== null);
const claims: fc.Arbitrary<{ bind: 'observed' | 'exact' | 'prefix'; claim: Prefix | null }> = fc.oneof(
  fc.constant({ bind: 'observed' as const, claim: null }),
  fc.oneof(v4, v6).map(([address]) => ({ bind: 'exact' as const, claim: parsePrefix(address) })),
  fc.oneof(v4, v6).map(([address, length]) => ({
    bind: 'prefix' as const,
    claim: parsePrefix(`${address}/${length}`),
  })),
);
const requests = fc.record({
  suite: fc.constantFrom(1 as const, 2 as const),
  offset: fc.integer({ min: -30_000, max: 120_000 }),
  seq: fc.integer({ min: 0, max: 65_535 }),
  services: fc.array(fc.constantFrom(...SERVICES), { minLength: 1, maxLength: 8 }),
  claim: claims,
  // Not over when it comes.
  ttlSeconds: fc.oneof(fc.constant(0), fc.integer({ min: 121, max: 2 ** 32 - 1 })),
  close: fc.boolean(),
  length: fc.integer({ min: 192, max: 480 }),
  random: fc.uint8Array({ minLength: 12, maxLength: 12 }),
  pad: fc.uint8Array({ minLength: 480, maxLength: 480 }),
});
type Request = typeof requests extends fc.Arbitrary<infer T> ? T : never;

function seal(request: Request): Promise<Buffer> {
  const { suite, seq, services, claim, ttlSeconds, close, length, random: lot, pad } = request;
  const counter = (BigInt(NOW) << 16n) | BigInt(seq);
  const sealing = { accessKey: keys, gateway: GATEWAY, sender: senderOf(suite), counter, services };
  return sealSpa({ ...sealing, ...claim, ttlSeconds, close }, { length, random: lot, pad });
}

describe('a sealed SPA knock, for any request', () => {
  it('is opened to the same fields', () =>
    fc.assert(
      fc.asyncProperty(requests, async (request) => {
        const bytes = await seal(request);
        assert.equal(bytes.length, request.length);
        const match = arrive(gatewayOf({ services: SERVICES }), bytes, { at: NOW + request.offset });
        assert.ok(match?.kind === 'request', said(match));
        const { claim, ...rest } = match;
        assert.deepEqual(rest, {
          kind: 'request',
          client: `suite${request.suite}`,
          services: [...new Set(request.services)],
          counter: (BigInt(NOW) << 16n) | BigInt(request.seq),
          ...(request.close ? { close: true } : {}),
          ...(request.ttlSeconds === 0 ? {} : { until: NOW + request.ttlSeconds * 1000 }),
        });
        const wanted = request.claim.claim;
        assert.equal(claim && formatPrefix(claim), wanted === null ? undefined : formatPrefix(wanted));
      }),
      { numRuns: 300, seed: SEED },
    ));

  it('is refused with any one byte changed, and with any other length', () =>
    fc.assert(
      fc.asyncProperty(
        requests,
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        fc.nat(FRAME_BYTES),
        async (request, place, mask, length) => {
          const bytes = await seal(request);
          const scheme = gatewayOf({ services: SERVICES });
          const at = NOW + request.offset;
          const place8 = place % bytes.length;
          assert.equal(
            said(arrive(scheme, flipped(bytes, place8, mask), { at })),
            place8 < 8 ? 'silence' : 'bad-tag',
          );
          if (length !== bytes.length) {
            const other = Buffer.concat([bytes, Buffer.alloc(FRAME_BYTES)]).subarray(0, length);
            assert.notEqual(said(arrive(scheme, other, { at })), 'request');
          }
          assert.equal(said(arrive(scheme, bytes, { at })), 'request');
        },
      ),
      { numRuns: 300, seed: SEED },
    ));
});
