// Random and mutated packets through the decoder and everything behind it: nothing throws, nothing grows.
// A failure prints the seed: PORTKNOCK_FUZZ_SEED=... runs it again.

import assert from 'node:assert/strict';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { decode } from '../../lib/packet/decode.ts';
import { PacketView } from '../../lib/packet/view.ts';
import { LINKS } from '../support/arbitraries.ts';
import { frame, type FrameOptions } from '../support/frames.ts';
import { fuzzConsumers } from '../support/fuzz-consumers.ts';
import { random, type Random } from '../support/random.ts';

const PACKETS = 1_000_000;
const SEED = Number(process.env['PORTKNOCK_FUZZ_SEED'] ?? Date.now() % 2 ** 31);
const GROWTH_BYTES = 4 * 1024 * 1024;
const BUFFER_BYTES = 512;

const SEEDS: readonly FrameOptions[] = [
  { payload: Buffer.alloc(32) },
  { protocol: 'tcp', tcpOptions: Buffer.alloc(20, 1) },
  { src: '2001:db8::7', payload: 'knock' },
  { src: '2001:db8::7', protocol: 'tcp' },
  {
    src: '2001:db8::7',
    extensions: [{ kind: 0 }, { kind: 43, body: Buffer.alloc(6) }, { kind: 60 }],
    payload: 'x',
  },
  { vlan: [{ type: 0x88a8, id: 1 }, 2], ipOptions: Buffer.alloc(12, 1), payload: 'y' },
];

/** Sound frames of every link type, to be mutated. */
const CORPUS = SEEDS.flatMap((options) =>
  LINKS.map((link) => ({
    link,
    bytes: frame({ ...options, link, vlan: link === 1 ? (options.vlan ?? []) : [] }),
  })),
);

/** Fills `bytes` with the next packet; returns its length. */
function next(bytes: Buffer, from: { bytes: Buffer } | undefined, rng: Random): number {
  if (from === undefined || rng(8) === 0) {
    const length = rng(BUFFER_BYTES + 1);
    for (let i = 0; i < length; i += 1) bytes[i] = rng(256);
    return length;
  }
  from.bytes.copy(bytes);
  for (let changes = rng(4); changes > 0; changes -= 1) bytes[rng(from.bytes.length)] = rng(256);
  return rng(6) === 0 ? rng(from.bytes.length + 1) : from.bytes.length;
}

/** Runs `count` packets; returns how many the decoder accepted. */
function run(
  count: number,
  rng: Random,
  view: PacketView,
  consumers: ReturnType<typeof fuzzConsumers>,
): number {
  const bytes = Buffer.alloc(BUFFER_BYTES);
  let accepted = 0;
  for (let i = 0; i < count; i += 1) {
    const from = CORPUS[rng(CORPUS.length)];
    const length = next(bytes, from, rng);
    const link = rng(20) === 0 ? rng(300) : (from?.link ?? 1);
    const start = rng(50) === 0 ? rng(BUFFER_BYTES + 10) : 0;
    if (decode(view, bytes, start, length, length + rng(3) - (rng(30) === 0 ? 2 : 0), link, i) !== null)
      continue;
    assert.ok(view.payloadStart + view.payloadLength <= start + length);
    accepted += 1;
    for (const consumer of consumers) consumer.consume(view);
  }
  return accepted;
}

describe('random and mutated packets', () => {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  const used = (): number => {
    gc();
    gc();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };

  it(`neither throw nor let memory grow (${String(PACKETS)} packets, seed ${String(SEED)})`, () => {
    const rng = random(SEED);
    const view = new PacketView();
    const consumers = fuzzConsumers();
    run(PACKETS / 10, rng, view, consumers);
    const before = used();
    const accepted = run(PACKETS, rng, view, consumers);
    const growth = used() - before;
    assert.ok(
      accepted > PACKETS / 5,
      `only ${String(accepted)} packets came through: the corpus tests nothing`,
    );
    assert.ok(growth < GROWTH_BYTES, `memory grew by ${String(growth)} bytes`);
  }).timeout(600_000);
});
