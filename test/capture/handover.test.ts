// Two captures of one stream of packets: every packet is delivered once, by whichever side brings it first.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Handover, type Side } from '../../lib/capture/handover.ts';

/** A frame of `text` at `timeMs`, lent from the middle of a buffer. */
function admits(handover: Handover, side: Side, text: string, timeMs: number, link = 1): boolean {
  const bytes = Buffer.from(`junk${text}junk`, 'latin1');
  const answer = handover.admits(side, { bytes, start: 4, captured: text.length, link, timeMs });
  bytes.fill(0xee);
  return answer;
}

type Row = readonly [side: Side, content: string, timeMs: number, admitted: boolean];

const TABLE: Readonly<Record<string, readonly Row[]>> = {
  'lets frames of one side pass, repeated ones too': [
    ['old', 'a', 0, true],
    ['old', 'a', 1, true],
    ['new', 'b', 1, true],
    ['new', 'b', 1, true],
  ],
  'swallows the twin, whoever is first': [
    ['old', 'a', 0, true],
    ['new', 'a', 0, false],
    ['new', 'b', 1, true],
    ['old', 'b', 1, false],
  ],
  'counts a repeated frame': [
    ['old', 'a', 0, true],
    ['old', 'a', 5, true],
    ['new', 'a', 0, false],
    ['new', 'a', 5, false],
    ['new', 'a', 9, true],
    ['old', 'a', 9, false],
    ['old', 'a', 12, true],
  ],
  'forgives times that differ a little, either way': [
    ['old', 'a', 1000, true],
    ['new', 'a', 1250, false],
    ['old', 'b', 1250, true],
    ['new', 'b', 1000, false],
  ],
  'does not take frames for twins that are too far apart in time': [
    ['old', 'a', 1000, true],
    ['new', 'a', 1251, true],
    ['new', 'b', 1000, true],
    ['old', 'b', 1251, true],
  ],
  'takes the frame that is nearest in time': [
    ['old', 'a', 1000, true],
    ['old', 'a', 1100, true],
    ['new', 'a', 1101, false],
    ['new', 'a', 1300, true],
  ],
  'tells contents apart by their last byte and by their length': [
    ['old', 'ab', 0, true],
    ['new', 'ac', 0, true],
    ['new', 'a', 0, true],
    ['new', 'ab\0', 0, true],
    ['new', 'ab', 0, false],
  ],
  'keeps bytes above 0x7f apart': [
    ['old', '\x80\xff', 0, true],
    ['new', '\x81\xff', 0, true],
    ['new', '\x80\xff', 0, false],
  ],
};

describe('Handover', () => {
  for (const [title, rows] of Object.entries(TABLE)) {
    it(title, () => {
      const handover = new Handover();
      rows.forEach(([side, content, timeMs, admitted], i) => {
        assert.equal(admits(handover, side, content, timeMs), admitted, `row ${i + 1}`);
      });
    });
  }

  it('tells the link types of equal bytes apart', () => {
    const handover = new Handover();
    assert.equal(admits(handover, 'old', 'a', 0, 1), true);
    assert.equal(admits(handover, 'new', 'a', 0, 101), true);
    assert.equal(admits(handover, 'new', 'a', 0, 1), false);
  });

  for (const repeated of [true, false]) {
    it(`remembers 10,000 frames of a side, and doubles rather than misses, ${repeated ? 'one repeated' : 'each another'}`, () => {
      const handover = new Handover();
      const content = (i: number): string => (repeated ? 'same' : `frame ${i}`);
      for (let i = 0; i < 10_300; i += 1) assert.equal(admits(handover, 'old', content(i), i), true);
      const again = Array.from({ length: 10_300 }, (_, i) => admits(handover, 'new', content(i), i));
      assert.equal(again.filter((admitted) => admitted).length, 300);
      for (let i = 0; i < 10; i += 1) assert.equal(admits(handover, 'new', content(i), 20_000), true);
    });
  }
});

interface Packet {
  readonly content: string;
  readonly timeMs: number;
}

/** A stream, where in it the new side begins (`from`) and the old one ends (`upTo`), and how the two are mixed. */
interface Run {
  readonly stream: readonly Packet[];
  readonly from: number;
  readonly upTo: number;
  /** Which side is next, while both have something. */
  readonly mix: readonly boolean[];
  /** What the new side's clock says differently of each packet. */
  readonly skews: readonly number[];
}

const TOGETHER_MS = 1000;

const run: fc.Arbitrary<Run> = fc
  .record({
    alphabet: fc.integer({ min: 1, max: 200 }),
    gaps: fc.array(fc.oneof(fc.constant(0), fc.integer({ min: 5, max: 400 })), {
      minLength: 1,
      maxLength: 60,
    }),
    draws: fc.array(fc.nat(), { minLength: 60, maxLength: 60 }),
    from: fc.nat(),
    more: fc.nat(),
    mix: fc.array(fc.boolean(), { minLength: 1, maxLength: 40 }),
    skews: fc.array(fc.integer({ min: -2, max: 2 }), { minLength: 1, maxLength: 7 }),
  })
  .map(({ alphabet, gaps, draws, from, more, mix, skews }) => {
    let timeMs = 1_700_000_000_000;
    const stream = gaps.map((gap, i) => ({
      content: `packet ${(draws[i] ?? 0) % alphabet}`,
      timeMs: (timeMs += gap),
    }));
    const start = from % (stream.length + 1);
    // Both run for a second at least, or until the stream is over.
    const first = stream[start]?.timeMs ?? timeMs;
    const together = stream.findIndex((packet) => packet.timeMs >= first + TOGETHER_MS);
    const earliest = together < 0 ? stream.length : together;
    return { stream, from: start, upTo: earliest + (more % (stream.length - earliest + 1)), mix, skews };
  });

/** What is delivered of the stream: indexes, as often as they are. */
function delivered({ stream, from, upTo, mix, skews }: Run, oldAheadAtStart: boolean): number[] {
  const handover = new Handover();
  const old = stream.map((_, i) => i).slice(0, upTo);
  const next = stream.map((_, i) => i).slice(from);
  const result: number[] = [];
  const bring = (side: Side, i: number): void => {
    const { content = '', timeMs = 0 } = stream[i] ?? {};
    const skew = side === 'new' ? (skews[i % skews.length] ?? 0) : 0;
    if (admits(handover, side, content, timeMs + skew)) result.push(i);
  };
  if (oldAheadAtStart)
    old.splice(0, from).forEach((i) => {
      bring('old', i);
    });
  for (let turn = 0; old.length + next.length > 0; turn += 1) {
    const takeOld = next.length === 0 || (old.length > 0 && (mix[turn % mix.length] ?? true));
    const i = (takeOld ? old : next).shift() ?? 0;
    bring(takeOld ? 'old' : 'new', i);
  }
  return result;
}

function counts(contents: readonly string[]): Map<string, number> {
  const result = new Map<string, number>();
  for (const content of contents) result.set(content, (result.get(content) ?? 0) + 1);
  return result;
}

/** Whether packets of this content follow one another closely from before `from` until after `upTo`. */
function neverEnds({ stream, from, upTo }: Run, content: string): boolean {
  let linked = false;
  let last = -Infinity;
  for (const [i, packet] of stream.entries()) {
    if (packet.content !== content) continue;
    linked = (linked && packet.timeMs - last <= 260) || i < from;
    if (linked && i >= upTo) return true;
    last = packet.timeMs;
  }
  return false;
}

describe('Handover of a stream of packets, cut anywhere and mixed anyhow', () => {
  it('delivers each packet exactly once', () => {
    fc.assert(
      fc.property(run, fc.boolean(), (each, ahead) => {
        const wanted = counts(each.stream.map(({ content }) => content));
        const got = counts(delivered(each, ahead).map((i) => each.stream[i]?.content ?? ''));
        for (const [content, count] of wanted) {
          if (neverEnds(each, content)) assert.ok((got.get(content) ?? 0) <= count);
          else assert.equal(got.get(content) ?? 0, count, content);
        }
      }),
      { numRuns: 3000 },
    );
  });

  it('delivers packets that differ in their order, when the old side is ahead as the new one begins', () => {
    fc.assert(
      fc.property(run, (each) => {
        const stream = each.stream.map((packet, i) => ({ ...packet, content: `packet ${i}` }));
        assert.deepEqual(
          delivered({ ...each, stream }, true),
          stream.map((_, i) => i),
        );
      }),
      { numRuns: 1000 },
    );
  });

  it('misses nothing of a run of equal packets while the old side stays ahead', () => {
    fc.assert(
      fc.property(run, (each) => {
        const stream = each.stream.map((packet) => ({ ...packet, content: 'same' }));
        assert.equal(delivered({ ...each, stream, mix: [true] }, true).length, stream.length);
      }),
      { numRuns: 1000 },
    );
  });
});
